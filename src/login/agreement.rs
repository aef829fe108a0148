//! Findings under several assumptions about the client (LOGIN-3).

use super::finding::{Finding, Severity};

/// What holds under all assumptions stands, and so does a refusal that comes under each of them, for whatever
/// reason. A reason that holds only under some leaves the answer open.
pub(super) fn agree(by_client: &[Vec<Finding>]) -> Vec<Finding> {
    let is_refused = by_client.iter().all(|found| found.iter().any(Finding::is_blocking));
    let mut result = Vec::new();
    for found in by_client.iter().flatten() {
        let is_common = is_refused || by_client.iter().all(|other| other.contains(found));
        let mut found = found.clone();
        if !is_common && found.is_blocking() {
            found.severity = Severity::Warn;
            found.is_undecided = true;
            found.message = format!("depends on the client: {}", found.message);
        }
        result.push(found);
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::login::Verdict;

    #[test]
    fn both_ways_must_agree_login_3() {
        let id = ("conf-users", "LOGIN-60");
        let (one, other) = (Finding::block(id, "a", "one"), Finding::block(id, "b", "other"));
        let info = Finding::info(id, "c", "note");
        for (by_client, verdict) in [
            (vec![vec![], vec![]], Verdict::Accepted),
            (vec![vec![info.clone()], vec![]], Verdict::Accepted),
            (vec![vec![one.clone()], vec![one.clone()]], Verdict::Refused),
            (vec![vec![one.clone()], vec![other]], Verdict::Refused),
            (vec![vec![one], vec![info]], Verdict::Unknown),
        ] {
            assert_eq!(Verdict::of(&agree(&by_client)), verdict, "{by_client:?}");
        }
    }
}
