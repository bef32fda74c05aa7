//! The known names, and the one nearest to one that is not known.

/// The candidate that fewest changes of one letter make of `name`; none where it would take
/// more than a third of its letters, because then it was not meant.
pub fn nearest<'a>(name: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    candidates
        .map(|candidate| (distance(name, candidate), candidate))
        .filter(|(changes, candidate)| *changes <= candidate.len().div_ceil(3))
        .min_by_key(|(changes, _)| *changes)
        .map(|(_, candidate)| candidate)
}

/// How many letters must be added, removed, replaced, or swapped with their neighbour.
fn distance(from: &str, to: &str) -> usize {
    let from: Vec<char> = from.chars().collect();
    let to: Vec<char> = to.chars().collect();
    let width = to.len() + 1;
    // `rows` is the matrix of all prefixes; names are short, so its size does not matter.
    let mut rows: Vec<Vec<usize>> = vec![(0..width).collect()];
    for i in 1..=from.len() {
        let mut row = vec![i];
        for j in 1..width {
            let replaced = rows[i - 1][j - 1] + usize::from(from[i - 1] != to[j - 1]);
            let mut best = replaced.min(rows[i - 1][j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && from[i - 1] == to[j - 2] && from[i - 2] == to[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            row.push(best);
        }
        rows.push(row);
    }
    rows[from.len()][to.len()]
}

/// The names as the end of a sentence.
pub fn quoted<'s>(names: impl Iterator<Item = &'s str>) -> String {
    let names: Vec<String> = names.map(|name| format!("`{name}`")).collect();
    match names.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, rest)) => format!("{} and {last}", rest.join(", ")),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_finger_finds_the_name_that_was_meant() {
        let known = ["listen", "limits", "next", "role", "route"];
        for (typed, meant) in [
            ("lsten", Some("listen")),
            ("lisetn", Some("listen")),
            ("limit", Some("limits")),
            ("routes", Some("route")),
            ("rol", Some("role")),
            ("certificate", None),
            ("", None),
        ] {
            assert_eq!(nearest(typed, known.into_iter()), meant, "{typed}");
        }
    }
}
