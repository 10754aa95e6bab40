//! `docs/openapi.yaml`, which people write, as compact JSON, which programs read.

use std::fmt::Write as _;
use std::path::Path;

use saphyr::{LoadableYamlNode, Scalar, Yaml};

const SOURCE: &str = "docs/openapi.yaml";

/// Writes `openapi.json` into the directory of the build's own files.
pub fn generate() {
    println!("cargo:rerun-if-changed={SOURCE}");
    println!("cargo:rerun-if-changed=build/openapi.rs");
    let text = std::fs::read_to_string(SOURCE).unwrap_or_else(|error| panic!("{SOURCE}: {error}"));
    let documents = Yaml::load_from_str(&text).unwrap_or_else(|error| panic!("{SOURCE}: {error}"));
    let [document] = &documents[..] else {
        panic!("{SOURCE}: one document is expected");
    };
    let mut json = String::new();
    write(&mut json, document);
    let directory = std::env::var_os("OUT_DIR").expect("cargo sets it");
    let path = Path::new(&directory).join("openapi.json");
    std::fs::write(&path, json).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
}

/// Members keep their order.
fn write(json: &mut String, node: &Yaml<'_>) {
    match node {
        Yaml::Value(Scalar::String(text)) => write_text(json, text),
        Yaml::Value(Scalar::Null) => json.push_str("null"),
        Yaml::Value(Scalar::Boolean(value)) => write!(json, "{value}").expect("memory"),
        Yaml::Value(Scalar::Integer(value)) => write!(json, "{value}").expect("memory"),
        Yaml::Value(Scalar::FloatingPoint(value)) if value.is_finite() => {
            write!(json, "{value}").expect("memory");
        }
        Yaml::Sequence(elements) => {
            json.push('[');
            for (position, element) in elements.iter().enumerate() {
                json.push_str(if position > 0 { "," } else { "" });
                write(json, element);
            }
            json.push(']');
        }
        Yaml::Mapping(members) => {
            json.push('{');
            for (position, (name, member)) in members.iter().enumerate() {
                let Yaml::Value(Scalar::String(name)) = name else {
                    panic!("{SOURCE}: {name:?} is no name: quote it");
                };
                json.push_str(if position > 0 { "," } else { "" });
                write_text(json, name);
                json.push(':');
                write(json, member);
            }
            json.push('}');
        }
        other => panic!("{SOURCE}: JSON has no {other:?}"),
    }
}

fn write_text(json: &mut String, text: &str) {
    json.push('"');
    for character in text.chars() {
        match character {
            '"' | '\\' => json.extend(['\\', character]),
            '\n' => json.push_str("\\n"),
            control if control < ' ' => {
                write!(json, "\\u{:04x}", control as u32).expect("memory");
            }
            other => json.push(other),
        }
    }
    json.push('"');
}
