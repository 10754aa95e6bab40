//! What somebody may have meant.

/// The word that is the least edits away, if these are few for its length.
pub(super) fn nearest<'a>(word: &str, words: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let far = words.into_iter().map(|other| (edits(word, other), other));
    let (edits, nearest) = far.min_by_key(|(edits, _)| *edits)?;
    (edits <= nearest.chars().count().div_ceil(3)).then_some(nearest)
}

/// How many characters to add, to leave out or to replace make `one` of `other` (the distance of Levenshtein).
fn edits(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    // Of what has been read of `one`, to each beginning of `other`.
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (read, char) in one.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], read + 1);
        for (at, wanted) in other.iter().enumerate() {
            let replaced = diagonal + usize::from(char != *wanted);
            diagonal = row[at + 1];
            row[at + 1] = replaced.min(diagonal + 1).min(row[at] + 1);
        }
    }
    row[other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edits_are_counted() {
        for (one, other, count) in [
            ("", "", 0),
            ("", "abc", 3),
            ("kitten", "sitting", 3),
            ("lisen", "listen", 1),
            ("cores", "core", 1),
            ("nodes", "node", 1),
            ("é", "e", 1),
        ] {
            assert_eq!(edits(one, other), count, "{one} {other}");
            assert_eq!(edits(other, one), count, "{other} {one}");
        }
    }

    #[test]
    fn what_is_far_is_nobodys_meaning() {
        let words = ["listen", "data", "cores", "io"];
        assert_eq!(nearest("lsiten", words), Some("listen"));
        assert_eq!(nearest("dta", words), Some("data"));
        assert_eq!(nearest("i", words), Some("io"));
        assert_eq!(nearest("kqueue", words), None);
        assert_eq!(nearest("x", []), None);
    }
}
