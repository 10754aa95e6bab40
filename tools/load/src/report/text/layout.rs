//! Columns and long lines of the summary.

/// No line is longer, unless a name in it is.
pub const WIDTH: usize = 100;

/// Of words in a table's last column.
const WORDS_LINES: usize = 6;

/// Rows of cells, of which the first is at the left of its column and the others are at the right.
#[derive(Debug, Default)]
pub struct Table {
    rows: Vec<Vec<String>>,
    /// Columns, counted from the first, that are words rather than numbers.
    words: Vec<usize>,
}

impl Table {
    /// An empty one. `words`: columns that are at the left, too.
    pub fn new(words: &[usize]) -> Table {
        Table {
            rows: Vec::new(),
            words: words.to_vec(),
        }
    }

    /// One more.
    pub fn row<C: Into<String>>(&mut self, cells: impl IntoIterator<Item = C>) {
        self.rows.push(cells.into_iter().map(Into::into).collect());
    }

    /// Two spaces between columns, none at the end of a line. Words in the last column go on below themselves.
    pub fn text(&self) -> String {
        let mut out = String::new();
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or_default();
        let widths: Vec<usize> = (0..columns)
            .map(|column| {
                let cells = self.rows.iter().filter_map(|row| row.get(column));
                cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
            })
            .collect();
        for row in &self.rows {
            let mut line = String::new();
            for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
                let gap = if column == 0 { "" } else { "  " };
                let is_words = self.words.contains(&column);
                if is_words && column + 1 == columns {
                    write_quoted(&mut out, &format!("{line}{gap}"), cell, WORDS_LINES);
                    line.clear();
                    continue;
                }
                line += &match is_words || column == 0 {
                    true => format!("{gap}{cell:<width$}"),
                    false => format!("{gap}{cell:>width$}"),
                };
            }
            if !line.is_empty() {
                out += line.trim_end();
                out.push('\n');
            }
        }
        out
    }
}

/// Of a text that somebody else wrote: at most `lines` lines behind `first`, the later ones indented as far, none of them
/// beyond [`WIDTH`]. What does not fit is left out, and an ellipsis says so. Control characters are shown, not sent to
/// the terminal.
pub fn write_quoted(out: &mut String, first: &str, text: &str, lines: usize) {
    let indent = first.chars().count();
    let width = WIDTH.saturating_sub(indent).max(WIDTH / 2);
    let mut pieces: Vec<String> = Vec::new();
    for line in text.lines() {
        let shown: String = line.chars().flat_map(shown).collect();
        pieces.extend(wrapped(shown.trim_end(), width));
    }
    if pieces.len() > lines {
        pieces.truncate(lines);
        let last = &mut pieces[lines - 1];
        *last = last.chars().take(width - 1).collect();
        last.push('…');
    }
    if pieces.is_empty() {
        *out += first.trim_end();
        out.push('\n');
    }
    for (number, piece) in pieces.iter().enumerate() {
        match number {
            0 => *out += first,
            _ => out.extend(std::iter::repeat_n(' ', indent)),
        }
        *out += piece;
        out.push('\n');
    }
}

/// Pieces of at most `width` characters, each ended by a space where one is near its end.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let characters: Vec<char> = text.chars().collect();
    let (mut rest, mut pieces) = (&characters[..], Vec::new());
    while rest.len() > width {
        let space = rest[..=width].iter().rposition(|c| *c == ' ');
        let space = space.filter(|at| *at > width / 2);
        let (piece, others) = rest.split_at(space.unwrap_or(width));
        pieces.push(piece.iter().collect());
        rest = others.strip_prefix(&[' ']).unwrap_or(others);
    }
    if !rest.is_empty() {
        pieces.push(rest.iter().collect());
    }
    pieces
}

fn shown(character: char) -> Vec<char> {
    match character.is_control() {
        true => character.escape_default().collect(),
        false => vec![character],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stand_below_each_other() {
        let mut table = Table::new(&[2]);
        table.row(["", "count", "what"]);
        table.row(["latency", "1,234", "is µs"]);
        table.row(["x", "7"]);
        assert_eq!(
            table.text(),
            "         count  what\nlatency  1,234  is µs\nx            7\n"
        );
    }

    #[test]
    fn words_go_on_below_themselves() {
        let mut table = Table::new(&[1]);
        table.row(["7", &"word ".repeat(30)]);
        table.row(["8"]);
        table.row(["9", ""]);
        let out = table.text();
        let lines: Vec<_> = out.lines().collect();
        let first = format!("7  {}", "word ".repeat(19));
        let second = format!("   {}", "word ".repeat(11));
        assert_eq!(lines, [first.trim_end(), second.trim_end(), "8", "9"]);
    }

    #[test]
    fn what_others_wrote_is_kept_in_its_place() {
        let quoted = |text: &str, lines| {
            let mut out = String::new();
            write_quoted(&mut out, "  reply: ", text, lines);
            out
        };
        assert_eq!(quoted("", 3), "  reply:\n");
        assert_eq!(quoted("200 {}", 3), "  reply: 200 {}\n");
        assert_eq!(quoted("a\nb\nc", 2), "  reply: a\n         b…\n");
        assert_eq!(
            quoted("a\u{1b}[31m\tb\r", 2),
            "  reply: a\\u{1b}[31m\\tb\\r\n"
        );
        let long = quoted(&"é".repeat(200), 2);
        let widths: Vec<_> = long.lines().map(|line| line.chars().count()).collect();
        assert_eq!(widths, [WIDTH, WIDTH]);
        assert!(long.ends_with("é…\n"));
    }
}
