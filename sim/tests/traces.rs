//! The stories of `sim/traces/`: each is played again, and its trace is as it stands there.
//! `GALO_TRACES=write` writes them anew.

use std::fs;
use std::path::Path;

use galo_sim::stories::STORIES;

#[test]
fn stories_happen_as_they_are_told() {
    let writes = std::env::var_os("GALO_TRACES").is_some_and(|value| value == "write");
    let mut wrong = Vec::new();
    for story in STORIES {
        let found = match story.trace() {
            Ok(found) => found,
            Err(reason) => panic!("{}: {reason}", story.name),
        };
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("traces/{}.txt", story.name));
        let text = fs::read_to_string(&path).unwrap_or_default();
        // The comment at the top tells the story, and stays.
        let comment: String = text
            .split_inclusive('\n')
            .take_while(|line| line.starts_with('#'))
            .collect();
        let told = &text[comment.len()..];
        if told == found {
            continue;
        }
        if writes {
            fs::write(&path, format!("{comment}{found}")).expect("it can be written");
        }
        wrong.push(format!("{}:\n{}", path.display(), difference(told, &found)));
    }
    assert!(
        wrong.is_empty() || writes,
        "{}\nIf that is right: GALO_TRACES=write cargo test -p galo-sim --test traces",
        wrong.join("\n")
    );
}

/// Lines that are not in both.
fn difference(told: &str, found: &str) -> String {
    let (told, found): (Vec<&str>, Vec<&str>) = (told.lines().collect(), found.lines().collect());
    let mut text = String::new();
    let begin = told
        .iter()
        .zip(&found)
        .take_while(|(one, other)| one == other)
        .count();
    let (told, found) = (&told[begin..], &found[begin..]);
    let end = told
        .iter()
        .rev()
        .zip(found.iter().rev())
        .take_while(|(one, other)| one == other)
        .count();
    for line in &told[..told.len() - end] {
        text.push_str(&format!("-{line}\n"));
    }
    for line in &found[..found.len() - end] {
        text.push_str(&format!("+{line}\n"));
    }
    text
}
