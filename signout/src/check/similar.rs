//! Finds the name that may be meant by a misspelt one.

/// Returns the name that is probably meant in a message like `unknown field `a`, expected one of
/// `b`, `c``.
pub(super) fn field(problem: &str) -> Option<String> {
    let (unknown, expected) = problem.strip_prefix("unknown field `")?.split_once('`')?;
    let known = expected.split('`').skip(1).step_by(2);
    closest(unknown, known).map(str::to_owned)
}

/// Returns the most similar of these names, if one is similar enough.
pub(super) fn closest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let begins = |known: &str| known.len().min(name.len()) > 3 && known.starts_with(name);
    let is_similar =
        |distance: usize, known: &str| begins(known) || distance * 3 <= name.len().max(known.len());
    let distances = known.map(|known| (distance(name, known), known));
    let similar = distances.filter(|(distance, known)| is_similar(*distance, known));
    similar.min().map(|(_, closest)| closest)
}

/// Returns the edit distance: the number of characters to insert, remove, replace or exchange with
/// their neighbour.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<_>, Vec<_>) = (a.chars().collect(), b.chars().collect());
    let mut rows = vec![(0..=b.len()).collect::<Vec<usize>>()];
    for (i, x) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, y) in b.iter().enumerate() {
            let at = |row: Option<&Vec<usize>>, column: usize| {
                row.and_then(|row| row.get(column)).copied().unwrap_or(usize::MAX - 1)
            };
            let above = rows.last();
            let mut least = (at(above, j + 1) + 1).min(at(Some(&row), j) + 1);
            least = least.min(at(above, j) + usize::from(x != y));
            let is_exchange = i > 0 && j > 0 && a.get(i - 1) == Some(y) && b.get(j - 1) == Some(x);
            if is_exchange {
                least = least.min(at(rows.get(i - 1), j - 1) + 1);
            }
            row.push(least);
        }
        rows.push(row);
    }
    rows.last().and_then(|row| row.last()).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn similar_names_are_suggested() {
        let known = ["access", "methods", "hosts", "revoke_user", "path", "prefix"];
        for (written, expected) in [
            ("acess", Some("access")),
            ("acecss", Some("access")),
            ("method", Some("methods")),
            ("revokeUser", Some("revoke_user")),
            ("revoke", Some("revoke_user")),
            ("pathh", Some("path")),
            ("regex", None),
            ("x", None),
        ] {
            assert_eq!(closest(written, known.into_iter()), expected, "{written}");
        }
        let problem = "unknown field `acess`, expected one of `path`, `access`";
        assert_eq!(field(problem).as_deref(), Some("access"));
        assert_eq!(field("must be a list"), None);
    }
}
