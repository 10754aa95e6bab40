//! Paths and queries, taken apart.

use super::*;

fn segments(path: &str) -> Result<Vec<String>, BadEscape> {
    Path::new(path.as_bytes())
        .segments()
        .map(|segment| segment.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
        .collect()
}

#[test]
fn a_path_has_these_segments() {
    for (path, expected) in [
        ("*", &[][..]),
        ("/", &[""]),
        ("/health", &["health"]),
        ("/health/", &["health", ""]),
        ("//health", &["", "health"]),
        ("/clientes/1/extrato", &["clientes", "1", "extrato"]),
        ("/%63lientes/%31/extrat%6F", &["clientes", "1", "extrato"]),
        ("/%6f%6F", &["oo"]),
        ("/a%2Fb/c", &["a/b", "c"]),
        ("/a%252Fb", &["a%2Fb"]),
        ("/a%00b", &["a\0b"]),
        ("/%c3%a7", &["ç"]),
        ("/a+b", &["a+b"]),
        ("/./../a", &[".", "..", "a"]),
    ] {
        assert_eq!(
            segments(path).as_deref(),
            Ok(&expected.iter().map(|s| s.to_string()).collect::<Vec<_>>()[..]),
            "{path}"
        );
    }
}

#[test]
fn a_bad_escape_is_an_error() {
    for path in [
        "/%", "/%4", "/a%4/b", "/%zz", "/%4z", "/%z4", "/%+1", "/% 1", "/%%41",
    ] {
        assert_eq!(segments(path), Err(BadEscape), "{path}");
    }
}

#[test]
fn a_query_has_these_parameters() {
    for (query, expected) in [
        (None, ""),
        (Some(""), ""),
        (Some("&&"), ""),
        (Some("a"), "a:"),
        (Some("a=b"), "a:b"),
        (Some("a=b&c=d&a=e"), "a:b c:d a:e"),
        (Some("a=b=c&=d&e="), "a:b=c :d e:"),
        (Some("a=12%3A34&b=+02:00&c=%2B"), "a:12:34 b:+02:00 c:+"),
        (Some("a=b%26c%3Dd&%61%3d=%c3%a7"), "a:b&c=d a=:ç"),
        (Some("a=%&%4=b&c=%zz"), "a:? ?:b c:?"),
    ] {
        let text = |part: PathPart<'_>| match part {
            Ok(bytes) => String::from_utf8(bytes.into_owned()).unwrap(),
            Err(BadEscape) => "?".to_owned(),
        };
        let parameters: Vec<_> = QueryString::new(query.map(str::as_bytes))
            .parameters()
            .map(|(name, value)| format!("{}:{}", text(name), text(value)))
            .collect();
        assert_eq!(parameters.join(" "), expected, "{query:?}");
    }
}

#[test]
fn only_an_escaped_segment_is_allocated() {
    let path = Path::new(b"/clientes/%31/extrato");
    let owned: Vec<bool> = path
        .segments()
        .map(|segment| matches!(segment, Ok(Cow::Owned(_))))
        .collect();
    assert_eq!(owned, [false, true, false]);
}
