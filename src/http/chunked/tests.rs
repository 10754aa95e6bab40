use super::*;

/// What a whole encoded body comes to: length and data, or `None` while it is incomplete.
fn decoded(encoded: &str) -> Result<Option<(usize, String)>, Status> {
    let mut data = Vec::new();
    let end =
        Decoder::default().advance(encoded.as_bytes(), |part| data.extend_from_slice(part))?;
    Ok(end.map(|end| (end, String::from_utf8_lossy(&data).into_owned())))
}

#[test]
fn a_body_ends_where_its_trailers_end() {
    for (encoded, data) in [
        ("0\r\n\r\n", ""),
        ("5\r\nhello\r\n0\r\n\r\n", "hello"),
        ("1\r\nh\r\n004\r\nello\r\n0000\r\n\r\n", "hello"),
        ("a\r\n\r\n0\r\n\r\n012\r\n0\r\n\r\n", "\r\n0\r\n\r\n012"),
        (
            "A;a;b=c;d=\"e;f\"\r\n0123456789\r\n0;x\r\n\r\n",
            "0123456789",
        ),
        ("0\r\nA: b\r\nC:\r\nD: \t\r\n\r\n", ""),
    ] {
        let expected = Ok(Some((encoded.len(), data.to_owned())));
        assert_eq!(decoded(encoded), expected, "{encoded:?}");
        // What follows belongs to the next request.
        assert_eq!(
            decoded(&format!("{encoded}GET / ")),
            expected,
            "{encoded:?}"
        );
        for cut in 0..encoded.len() {
            assert_eq!(
                decoded(&encoded[..cut]),
                Ok(None),
                "{encoded:?} cut at {cut}"
            );
        }
    }
}

#[test]
fn sizes_are_bounded() {
    for (encoded, expected) in [
        ("0000000000000000\r\n\r\n", Ok(Some((20, String::new())))),
        ("00000000000000000\r\n\r\n", Err(Status::BadRequest)),
        ("10000\r\n", Ok(None)),
        ("10001\r\n", Err(Status::BodyTooLarge)),
        ("10001", Ok(None)),
        ("ffffffffffffffff\r\n", Err(Status::BodyTooLarge)),
        ("1\r\nx\r\nffff\r\n", Ok(None)),
        ("1\r\nx\r\n10000\r\n", Err(Status::BodyTooLarge)),
        ("1\r\nx\r\nffffffffffffffff\r\n", Err(Status::BodyTooLarge)),
    ] {
        assert_eq!(decoded(encoded), expected, "{encoded:?}");
    }
}

#[test]
fn extensions_are_bounded() {
    let line = |bytes: usize| format!("0;{}\r\n\r\n", "x".repeat(bytes - "0;\r\n".len()));
    let largest = line(CHUNK_SIZE_LINE_BYTES_MAX);
    assert_eq!(decoded(&largest), Ok(Some((largest.len(), String::new()))));
    assert_eq!(
        decoded(&line(CHUNK_SIZE_LINE_BYTES_MAX + 1)),
        Err(Status::BadRequest)
    );
}

#[test]
fn trailers_are_bounded() {
    let bytes = |count: usize| format!("0\r\nA:{}\r\n\r\n", "b".repeat(count - "A:\r\n\r\n".len()));
    let largest = bytes(TRAILER_BYTES_MAX);
    assert_eq!(decoded(&largest), Ok(Some((largest.len(), String::new()))));
    assert_eq!(
        decoded(&bytes(TRAILER_BYTES_MAX + 1)),
        Err(Status::HeadTooLarge)
    );
    let fields = |count: usize| format!("0\r\n{}\r\n", "A:b\r\n".repeat(count));
    let most = fields(HEADERS_MAX);
    assert_eq!(decoded(&most), Ok(Some((most.len(), String::new()))));
    assert_eq!(decoded(&fields(HEADERS_MAX + 1)), Err(Status::HeadTooLarge));
}

#[test]
fn the_encoded_body_is_bounded() {
    // Fewer bytes of data than are allowed, in chunks of one.
    let chunks = |count: usize| "1\r\nx\r\n".repeat(count);
    let count = BODY_ENCODED_BYTES_MAX / 6;
    let fits = format!("{}0\r\n\r\n", chunks(count - 1));
    assert!(fits.len() <= BODY_ENCODED_BYTES_MAX);
    assert_eq!(
        decoded(&fits),
        Ok(Some((fits.len(), "x".repeat(count - 1))))
    );
    assert_eq!(decoded(&chunks(count)), Ok(None));
    assert_eq!(decoded(&chunks(count + 1)), Err(Status::BodyTooLarge));
}
