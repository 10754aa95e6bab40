//! The probes of the binary are those that the manual lists, with as many arguments.

use std::collections::BTreeMap;
use std::path::Path;

use object::elf::{FileHeader64, NoteType};
use object::read::elf::{FileHeader, SectionHeader};
use object::Endianness;

use galo_testkit::markdown::{code, table};

/// Type of a note about a probe, and who owns it
/// (<https://sourceware.org/systemtap/wiki/UserSpaceProbeImplementation>).
const STAPSDT: (NoteType, &[u8]) = (NoteType(3), b"stapsdt");
/// Before a note's texts: where the probe is, where its section begins, and its semaphore.
const ADDRESSES: usize = 3 * 8;

/// Names of the probes in an ELF file, and the numbers of arguments that each of its places has.
fn built() -> BTreeMap<String, Vec<usize>> {
    let file = std::fs::read(env!("CARGO_BIN_EXE_galo")).unwrap();
    let header = FileHeader64::<Endianness>::parse(&*file).unwrap();
    let endian = header.endian().unwrap();
    let sections = header.sections(endian, &*file).unwrap();
    let mut probes = BTreeMap::<_, Vec<_>>::new();
    for section in sections.iter() {
        let Some(mut notes) = section.notes(endian, &*file).unwrap() else {
            continue;
        };
        while let Some(note) = notes.next().unwrap() {
            if (note.n_type(endian), note.name()) != STAPSDT {
                continue;
            }
            let mut texts = note.desc()[ADDRESSES..].split(|byte| *byte == 0);
            let mut text = || std::str::from_utf8(texts.next().unwrap()).unwrap();
            let (provider, name, arguments) = (text(), text(), text());
            assert_eq!(provider, "galo", "{name}");
            let arguments = arguments.split_ascii_whitespace().count();
            probes.entry(name.to_owned()).or_default().push(arguments);
        }
    }
    probes
}

/// Of the manual's table.
fn documented() -> BTreeMap<String, usize> {
    let manual = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/profiling.md");
    let manual = std::fs::read_to_string(manual).unwrap();
    let rows = table(&manual, "| probe | arguments |");
    let probes = rows
        .iter()
        .map(|row| (code(&row[0]).remove(0), code(&row[1]).len()));
    probes.collect()
}

#[test]
fn are_as_the_manual_lists_them() {
    let (built, documented) = (built(), documented());
    let names = |of: Vec<&String>| format!("{of:#?}");
    assert_eq!(
        names(built.keys().collect()),
        names(documented.keys().collect())
    );
    for (name, arguments) in documented {
        let places = &built[&name];
        assert!(
            places.iter().all(|it| *it == arguments),
            "{name}: {places:?}, not {arguments}"
        );
    }
}
