//! Tables of the manual, which tests hold to what is there.

/// The cells of a table's rows. `head`: how its first line begins.
#[track_caller]
pub fn table(markdown: &str, head: &str) -> Vec<Vec<String>> {
    let (_, table) = markdown
        .split_once(head)
        .unwrap_or_else(|| panic!("no table begins with {head}"));
    let rows = table.lines().skip(2);
    let rows = rows.take_while(|line| line.starts_with('|'));
    rows.map(|row| {
        let cells = row.trim_matches('|').split('|');
        cells.map(|cell| cell.trim().to_owned()).collect()
    })
    .collect()
}

/// What stands between backticks, in its order.
pub fn code(cell: &str) -> Vec<String> {
    let parts = cell.split('`').skip(1).step_by(2);
    parts.map(str::to_owned).collect()
}
