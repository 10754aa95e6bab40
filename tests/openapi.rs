//! `docs/openapi.yaml` and the code tell of the same errors, statuses, paths and methods.

use std::collections::BTreeSet;
use std::path::Path;

use galo::api::operations::OPENAPI;
use galo::api::problem::{Problem, PROBLEMS};
use galo::api::{route, Call, Endpoint};
use galo::http::{parse, ParseState, Parsed, Status};
use serde_json::Value;

const METHODS: [&str; 4] = ["get", "head", "post", "options"];

fn document() -> Value {
    serde_json::from_str(OPENAPI).expect("JSON")
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("no text: {value}"))
}

fn texts(value: &Value) -> BTreeSet<&str> {
    let list = value
        .as_array()
        .unwrap_or_else(|| panic!("no list: {value}"));
    list.iter().map(text).collect()
}

fn members(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value
        .as_object()
        .unwrap_or_else(|| panic!("no object: {value}"))
        .iter()
}

/// Each response by path, method and status, where it is written out.
fn responses(document: &Value) -> Vec<(String, u16, &Value)> {
    let mut responses = Vec::new();
    for (path, item) in members(&document["paths"]) {
        for (method, operation) in members(item).filter(|(name, _)| *name != "parameters") {
            for (status, response) in members(&operation["responses"]) {
                let place = format!("{method} {path} {status}");
                let response = match response.get("$ref") {
                    Some(at) => {
                        let at = text(at).strip_prefix('#').expect("in this document");
                        document
                            .pointer(at)
                            .unwrap_or_else(|| panic!("{place}: no {at}"))
                    }
                    None => response,
                };
                responses.push((place, status.parse().expect("a number"), response));
            }
        }
    }
    responses
}

#[test]
fn every_error_is_in_both_with_its_very_words() {
    type Known<'a> = BTreeSet<(u16, &'a str, &'a str, &'a str)>;
    let of_code: Known = PROBLEMS
        .iter()
        .map(|it| (it.status.code(), it.error, it.field, it.rule))
        .collect();
    let document = document();
    let mut described = Known::new();
    for (place, status, response) in &responses(&document) {
        if *status < 400 {
            continue;
        }
        let content = &response["content"]["application/json"];
        let mut names = BTreeSet::new();
        for (_, example) in members(&content["examples"]) {
            let problem = &example["value"];
            let field = problem.get("field").map_or("", text);
            names.insert(text(&problem["error"]));
            described.insert((
                *status,
                text(&problem["error"]),
                field,
                text(&problem["rule"]),
            ));
        }
        // What a client may rely on is what the examples show.
        let allowed = texts(&content["schema"]["properties"]["error"]["enum"]);
        assert_eq!(allowed, names, "{place}");
    }
    let missing: Vec<_> = of_code.difference(&described).collect();
    assert!(missing.is_empty(), "docs/openapi.yaml lacks {missing:#?}");
    let unknown: Vec<_> = described.difference(&of_code).collect();
    assert!(unknown.is_empty(), "no error of the code: {unknown:#?}");
}

#[test]
fn problem_details_have_the_types_and_fields_of_the_code() {
    let document = document();
    let schemas = &document["components"]["schemas"];
    // Told before anything is read, and so in the other form only.
    let is_told = |it: &&Problem| it.error != "too many connections";
    let types: BTreeSet<String> = PROBLEMS
        .iter()
        .filter(is_told)
        .map(|problem| {
            let mut body = Vec::new();
            problem.write_details(&mut body);
            let body: Value = serde_json::from_slice(&body).expect("JSON");
            text(&body["type"]).to_owned()
        })
        .collect();
    let described = texts(&schemas["ProblemDetails"]["properties"]["type"]["enum"]);
    assert_eq!(described, types.iter().map(String::as_str).collect());
    let fields = PROBLEMS.iter().map(|problem| problem.field);
    let fields: BTreeSet<&str> = fields.filter(|field| !field.is_empty()).collect();
    let described = texts(&schemas["Problem"]["properties"]["field"]["enum"]);
    assert_eq!(described, fields);
}

#[test]
fn every_status_is_in_both() {
    let document = document();
    let described = responses(&document)
        .into_iter()
        .map(|(_, status, _)| status);
    let of_code = Status::ALL.iter().map(|status| status.code());
    assert_eq!(described.collect::<BTreeSet<u16>>(), of_code.collect());
}

/// The endpoint that answers, and its status if that is known without asking a shard.
fn asked(method: &str, path: &str) -> (Endpoint, u16) {
    let input = format!(
        "{} {path} HTTP/1.1\r\nHost: a\r\n\r\n",
        method.to_uppercase()
    );
    match parse(
        input.as_bytes(),
        &mut ParseState::default(),
        &mut Vec::new(),
    ) {
        Parsed::Request { request, .. } => match route(&request, true) {
            (endpoint, Call::Refused(refused)) => (endpoint, refused.problem.status.code()),
            (endpoint, _) => (endpoint, 200),
        },
        other => panic!("{other:?}: {input:?}"),
    }
}

#[test]
fn every_path_is_in_both_with_its_methods() {
    let document = document();
    let mut endpoints = BTreeSet::new();
    for (path, item) in members(&document["paths"]) {
        let id = match path.starts_with("/payments") {
            true => "4a7901b8-7d26-4d9d-aa19-4dc1c7cf60b3",
            false => "1",
        };
        let asked_path = path.replace("{id}", id);
        for method in METHODS {
            let (endpoint, status) = asked(method, &asked_path);
            let is_described = item.get(method).is_some();
            assert_eq!(status != 405, is_described, "{method} {path}: {status}");
            assert_ne!(status, 404, "{method} {path}");
            endpoints.insert(endpoint.name());
        }
        let others: Vec<&String> = members(item).map(|(name, _)| name).collect();
        let is_known = |name: &&String| METHODS.contains(&name.as_str()) || *name == "parameters";
        assert!(others.iter().all(is_known), "{path}: {others:?}");
    }
    let of_code = Endpoint::ALL.iter().filter(|it| **it != Endpoint::None);
    let of_code: BTreeSet<&str> = of_code.map(|it| it.name()).collect();
    assert_eq!(endpoints, of_code);
}

#[test]
fn it_is_of_this_version() {
    assert_eq!(document()["info"]["version"], env!("CARGO_PKG_VERSION"));
}

/// So that the table is all of them.
#[test]
fn errors_are_made_by_their_table_only() {
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
    let mut tables = 0;
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let text = std::fs::read_to_string(&path).expect("text");
            let makes_one = text.replace("-> Problem {", "").contains("Problem {");
            let is_table = path.ends_with("api/problem.rs");
            assert_eq!(makes_one, is_table, "{}", path.display());
            tables += usize::from(is_table);
        }
    }
    assert_eq!(tables, 1);
}
