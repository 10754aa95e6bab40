//! The bytes that each part of a request may have: the character classes of RFC 9110 and RFC 3986.

/// A byte of a token (RFC 9110, section 5.6.2): of a method or of a field's name.
pub(super) fn is_token_byte(byte: u8) -> bool {
    is(byte, TOKEN)
}

/// A byte of a field's value (RFC 9110, section 5.5), blanks included.
pub(super) fn is_value_byte(byte: u8) -> bool {
    matches!(byte, b'\t' | b' '..=b'~' | 0x80..)
}

/// The elements of a comma-separated list, without the blanks around them; maybe empty.
pub(super) fn list(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|&byte| byte == b',').map(<[u8]>::trim_ascii)
}

pub(super) const TOKEN: u8 = 1;
/// `pchar` and `/` (RFC 3986, section 3.3), with `%` unchecked.
pub(super) const PATH: u8 = 2;
/// The characters of a query: those of a path, and `?` (section 3.4).
pub(super) const QUERY: u8 = 8;
/// What a host, an address in brackets, and a port are made of (RFC 3986, section 3.2.2).
pub(super) const AUTHORITY: u8 = 4;

pub(super) fn is(byte: u8, class: u8) -> bool {
    CLASSES[usize::from(byte)] & class != 0
}

/// Looks at all bytes even after one that is not: without branches that is faster for the short
/// and sound ones that nearly all are.
pub(super) fn all(bytes: &[u8], class: u8) -> bool {
    let common = bytes
        .iter()
        .fold(class, |common, &byte| common & CLASSES[usize::from(byte)]);
    common & class == class
}

static CLASSES: [u8; 256] = {
    let mut classes = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut class = 0;
        let unreserved_or_sub_delimiter = matches!(
            byte as u8,
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~'
                | b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b';' | b'='
        );
        if unreserved_or_sub_delimiter || matches!(byte as u8, b'%' | b':') {
            class |= PATH | QUERY | AUTHORITY;
        }
        if matches!(byte as u8, b'/' | b'@') {
            class |= PATH | QUERY;
        }
        if byte as u8 == b'?' {
            class |= QUERY;
        }
        if matches!(byte as u8, b'[' | b']') {
            class |= AUTHORITY;
        }
        if matches!(
            byte as u8,
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'!' | b'#' | b'$' | b'%' | b'&' | b'\''
                | b'*' | b'+' | b'-' | b'.' | b'^' | b'_' | b'`' | b'|' | b'~'
        ) {
            class |= TOKEN;
        }
        classes[byte] = class;
        byte += 1;
    }
    classes
};
