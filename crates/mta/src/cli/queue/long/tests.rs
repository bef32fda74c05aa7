//! Long lists from a control that is only a function.

use std::cell::Cell;

use super::*;

/// `output` has so many messages, `input` none.
const N_MESSAGES: u64 = 3 * PAGE_LEN + 500;

fn page(verb: &str, args: &Value) -> Answer {
    let after = args["after"].as_u64().unwrap_or(0);
    let limit = args["limit"].as_u64().unwrap_or(u64::MAX);
    let last = N_MESSAGES.min(after.saturating_add(limit));
    let row = |id| {
        json!({
            "id": id, "trace": "T", "from": "a@b", "size": 10, "age_seconds": 60,
            "recipients": [{"index": 0, "to": "c\u{1b}@d", "state": "deferred", "attempts": 1}],
        })
    };
    let line = |key: &str, value: Value| {
        let mut line = json!({"instance": "output", "role": "output"});
        line[key] = value;
        line
    };
    let mut lines = Vec::new();
    if verb == "queue.list" {
        lines.push(line("rows", (after + 1..=last).map(row).collect()));
        let ok = json!({"messages": last - after, "cut": last < N_MESSAGES, "last": last});
        lines.push(line("ok", ok));
    } else {
        lines.push(line(
            "ok",
            json!({"messages": N_MESSAGES, "recipients": N_MESSAGES}),
        ));
    }
    Answer {
        lines,
        end: json!({"end": true, "asked": 2, "answered": 2}),
    }
}

/// The answer that a list begins with.
fn first() -> Answer {
    let mut answer = page("queue.list", &json!({"limit": PAGE_LEN}));
    let ok = json!({"messages": 0, "cut": false});
    let empty = json!({"instance": "input", "role": "input", "ok": ok});
    answer.lines.push(empty);
    answer
}

fn ask(verb: &str, name: &str, args: Value) -> Result<Answer, Failure> {
    assert_eq!(name, "output", "the others have said all");
    assert!(args["limit"].as_u64().is_none_or(|limit| limit <= PAGE_LEN));
    Ok(page(verb, &args))
}

#[test]
fn a_long_list_is_printed_page_by_page_with_its_totals_above() {
    for (limit, n_listed) in [(u64::MAX, N_MESSAGES), (PAGE_LEN + 1, PAGE_LEN + 1)] {
        assert!(is_long(&first(), limit));
        let (mut text, mut longest) = (String::new(), 0);
        let mut print = |part: &str| {
            longest = longest.max(part.len());
            text.push_str(part);
            true
        };
        let exit = print_text(&first(), limit, &ask, &mut print).unwrap_or(Exit::Error);
        assert_eq!(exit, Exit::Done);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "input        empty");
        assert!(
            lines[1].starts_with("output       3500 messages, 3500 recipients"),
            "{}",
            lines[1]
        );
        assert_eq!(lines[1].contains("--limit"), n_listed < N_MESSAGES);
        let ids = lines
            .iter()
            .filter_map(|line| line.strip_prefix("  output/"));
        let ids: Vec<u64> = ids
            .filter_map(|rest| rest.split(' ').next()?.parse().ok())
            .collect();
        assert_eq!(ids, (1..=n_listed).collect::<Vec<_>>());
        assert!(lines[lines.len() - 1].starts_with("total        3500 messages"));
        assert!(!text.contains('\u{1b}'));
        assert!(
            longest < text.len() / 2 + 100 * 1024,
            "it was printed at once"
        );
    }
}

#[test]
fn a_long_list_in_json_is_the_value_that_one_answer_would_be() {
    let mut text = String::new();
    let mut print = |part: &str| {
        text.push_str(part);
        true
    };
    let exit = print_json(&first(), u64::MAX, &ask, &mut print).unwrap_or(Exit::Error);
    assert_eq!(exit, Exit::Done);
    assert!(!text.contains('\u{1b}'));
    let mut whole = page("queue.list", &json!({}));
    whole.lines.extend(first().lines.pop());
    let printed: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(printed, super::super::page::merged(&whole));
}

#[test]
fn a_list_that_nobody_reads_is_not_asked_for() {
    let n_asked = Cell::new(0);
    let ask = |verb: &str, name: &str, args| {
        n_asked.set(n_asked.get() + u32::from(verb == "queue.list"));
        ask(verb, name, args)
    };
    for limit in [1500, u64::MAX] {
        assert!(print_text(&first(), limit, &ask, &mut |_| false).is_ok());
        assert!(print_json(&first(), limit, &ask, &mut |_| false).is_ok());
    }
    assert_eq!(n_asked.get(), 0);
}

#[test]
fn a_list_whose_instance_falls_silent_says_so() {
    let ask = |verb: &str, name: &str, args: Value| {
        let mut answer = ask(verb, name, args.clone())?;
        if args["after"].as_u64() > Some(PAGE_LEN) {
            answer.lines = vec![json!({"instance": name, "role": name, "no_answer": true})];
        }
        Ok(answer)
    };
    let mut text = String::new();
    let mut print = |part: &str| {
        text.push_str(part);
        true
    };
    let exit = print_text(&first(), u64::MAX, &ask, &mut print).unwrap_or(Exit::Error);
    assert_eq!(exit, Exit::Partial);
    assert!(text.contains("output       answers no longer: there may be more\n"));
    let mut text = String::new();
    let mut print = |part: &str| {
        text.push_str(part);
        true
    };
    let exit = print_json(&first(), u64::MAX, &ask, &mut print).unwrap_or(Exit::Error);
    assert_eq!(exit, Exit::Partial);
    let printed: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(printed["instances"][1]["no_answer"], true);
    let messages = printed["instances"][1]["messages"].as_array().map(Vec::len);
    assert_eq!(messages, usize::try_from(2 * PAGE_LEN).ok());
}
