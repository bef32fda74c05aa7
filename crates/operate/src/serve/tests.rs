//! Requests over a real channel to a queue that is only a list.

use std::sync::Mutex;

use mail::{Disposition, Mailbox, Origin, Reply, ReplyCode, ReversePath, Timestamp, TraceId};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};

use super::super::{Brief, FRAME_LEN_MAX, InstanceStatus, PageRow, QueueCounts, RecipientRow};
use super::*;

const ARRIVED: Timestamp = Timestamp::from_unix_ms(1_795_477_800_000);

/// The disk is slow with this message.
const SLOW: u64 = 3_000_000;

/// A step to this message takes its time.
const SLOW_STEP: u64 = 3_500_000;

/// This message is there, and cannot be read.
const UNREADABLE: u64 = 4_000_000;

/// A step, the message and the recipients that it was done to.
type Steered = (Step, u64, Option<Vec<u32>>);

struct List {
    rows: Vec<QueueRow>,
    steered: Mutex<Vec<Steered>>,
}

impl QueueView for List {
    type Browser = ();

    fn status(&self) -> InstanceStatus {
        InstanceStatus {
            generation: 3,
            notes: vec!["all is well".into()],
            ..Default::default()
        }
    }

    fn counts(&self) -> QueueCounts {
        QueueCounts {
            n_messages: self.rows.len() as u64,
            ..Default::default()
        }
    }

    fn briefs(&self, after: Option<MessageId>, limit: usize) -> Vec<Brief> {
        let later = |row: &&QueueRow| after.is_none_or(|after| row.id > after);
        let rows = self.rows.iter().filter(later).take(limit);
        rows.map(brief).collect()
    }

    fn is_unreadable(&self, id: MessageId) -> bool {
        id.0 == UNREADABLE
    }

    fn browser(&self) {}

    fn page(
        &self,
        (): &mut (),
        after: Option<MessageId>,
        limit: usize,
    ) -> (Vec<PageRow>, Option<MessageId>) {
        let later = |row: &&QueueRow| after.is_none_or(|after| row.id > after);
        let page: Vec<_> = self.rows.iter().filter(later).take(limit).collect();
        let last = page.last().filter(|_| page.len() == limit);
        let last = last.map(|row| row.id);
        if page.iter().any(|row| row.id.0 == SLOW) {
            std::thread::sleep(SIGN_OF_LIFE_TIME * 3);
        }
        // Those without recipients have just left.
        let rows = page.into_iter().filter(|row| !row.recipients.is_empty());
        let rows = rows.map(|row| match row.id.0 {
            UNREADABLE => PageRow::Unreadable(brief(row)),
            _ => PageRow::Whole(row.clone()),
        });
        (rows.collect(), last)
    }

    async fn steer(
        &self,
        step: Step,
        id: MessageId,
        recipients: Option<&[u32]>,
        by: &str,
    ) -> Result<u32, String> {
        if id.0 == 666 {
            return Err("the spool is full".to_owned());
        }
        assert_eq!(by, "uid 0");
        if id.0 == SLOW_STEP {
            tokio::time::sleep(SIGN_OF_LIFE_TIME * 3).await;
        }
        self.steered
            .lock()
            .expect("sound")
            .push((step, id.0, recipients.map(<[u32]>::to_vec)));
        Ok(u32::try_from(recipients.map_or(1, <[u32]>::len)).expect("few"))
    }
}

fn row(id: u64, n_recipients: u32) -> QueueRow {
    let recipient = |index| RecipientRow {
        index,
        address: Mailbox::parse(&format!("user{index}@example.org")).expect("an address"),
        disposition: Disposition::Pending,
        attempts: 1,
        next_due: Some(ARRIVED),
        reply: Some(Reply::new(
            ReplyCode::new(451),
            None,
            &"\"later\" ".repeat(60),
        )),
        waits_for: None,
        destination: "relay".into(),
    };
    QueueRow {
        id: MessageId(id),
        trace: TraceId::new(ARRIVED, id.into()),
        from: ReversePath::parse(&format!("sender{}@example.org", id % 2)).expect("a path"),
        arrived: ARRIVED,
        size_bytes: 1000,
        origin: Origin::Outside,
        recipients: (0..n_recipients).map(recipient).collect(),
    }
}

/// What memory has of a message to which nothing happened.
fn brief(row: &QueueRow) -> Brief {
    Brief {
        id: row.id,
        arrived: row.arrived,
        size_bytes: row.size_bytes,
        n_recipients: u32::try_from(row.recipients.len()).expect("few"),
        n_deferred: u32::try_from(row.recipients.len()).expect("few"),
        n_held: 0,
    }
}

/// Sends requests to a queue of `rows`; gives the frames up to the last of each, and the steps.
fn ask(rows: Vec<QueueRow>, requests: &[&str]) -> (Vec<Value>, Vec<Steered>) {
    let view = Arc::new(List {
        rows,
        steered: Mutex::default(),
    });
    let (ours, theirs) = socketpair(
        AddressFamily::UNIX,
        SocketType::SEQPACKET,
        SocketFlags::CLOEXEC,
        None,
    )
    .expect("a pair");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        // The sockets are looked at between any two steps, as they are when many are busy.
        .event_interval(1)
        .build()
        .expect("a runtime");
    let frames = runtime.block_on(async {
        let server = tokio::spawn(serve(Arc::clone(&view), theirs, Clock::start()));
        let channel = Channel::new(ours).expect("a channel");
        let (mut frames, mut buffer) = (Vec::new(), Vec::new());
        for request in requests {
            let request: Value = serde_json::from_str(request).expect("JSON");
            channel.send(&request).await.expect("sent");
        }
        // What is stale gets no answer.
        let mut n_open = requests
            .iter()
            .filter(|r| r.contains(&u64::MAX.to_string()))
            .count();
        while n_open > 0 {
            channel.receive(&mut buffer).await.expect("received");
            assert!(
                buffer.len() <= FRAME_LEN_MAX,
                "a frame of {} octets",
                buffer.len()
            );
            let frame: Value = serde_json::from_slice(&buffer).expect("JSON");
            n_open -= usize::from(frame["more"] != json!(true));
            frames.push(frame);
        }
        server.abort();
        frames
    });
    let steered = view.steered.lock().expect("sound").clone();
    (frames, steered)
}

/// A request that is valid for ever.
fn request(id: u64, verb: &str, args: Value) -> String {
    json!({"id": id, "verb": verb, "until": u64::MAX, "args": args}).to_string()
}

fn ids(frames: &[Value]) -> Vec<u64> {
    let rows = frames
        .iter()
        .filter_map(|frame| frame["rows"].as_array())
        .flatten();
    rows.filter_map(|row| row["id"].as_u64()).collect()
}

#[test]
fn a_list_longer_than_a_frame_comes_in_order_and_whole() {
    let rows: Vec<_> = (1..=1000).map(|id| row(id, 1)).collect();
    let (frames, _) = ask(rows, &[&request(7, "queue.list", json!({}))]);
    assert_eq!(ids(&frames), (1..=1000).collect::<Vec<_>>());
    assert!(frames.iter().all(|frame| frame["id"] == 7));
    let last = frames.last().expect("a last frame");
    assert_eq!(last["ok"]["queue"]["messages"], 1000);
    assert_eq!(last["ok"]["cut"], false);
}

#[test]
fn a_list_stops_at_its_limit_and_says_so() {
    let rows: Vec<_> = (1..=300).map(|id| row(id, 1)).collect();
    for (limit, cut) in [(2, true), (150, false), (149, true)] {
        let args = json!({"filter": ["from=sender1*"], "limit": limit});
        let (frames, _) = ask(rows.clone(), &[&request(7, "queue.list", args)]);
        assert_eq!(ids(&frames).len(), limit);
        assert!(ids(&frames).iter().all(|id| id % 2 == 1));
        assert_eq!(frames.last().expect("a frame")["ok"]["cut"], cut);
    }
}

#[test]
fn a_list_goes_on_where_the_one_before_stopped() {
    let rows: Vec<_> = (1..=300).map(|id| row(id, 1)).collect();
    let args = json!({"limit": 200});
    let (frames, _) = ask(rows.clone(), &[&request(7, "queue.list", args)]);
    let last = &frames.last().expect("a frame")["ok"]["last"];
    assert_eq!(last, 200);
    let args = json!({"limit": 200, "after": last});
    let (frames, _) = ask(rows, &[&request(7, "queue.list", args)]);
    assert_eq!(ids(&frames), (201..=300).collect::<Vec<_>>());
    assert_eq!(frames.last().expect("a frame")["ok"]["cut"], false);
}

/// Messages that were done while a page was read made it short, which was taken for the last.
#[test]
fn a_list_does_not_end_where_messages_are_leaving() {
    let rows: Vec<_> = (1..=1000)
        .map(|id| row(id, u32::from(id % 10 == 0)))
        .collect();
    let (frames, _) = ask(rows, &[&request(7, "queue.list", json!({}))]);
    assert_eq!(ids(&frames).len(), 100);
}

/// A page that a busy disk kept for a second was taken for no answer.
#[test]
fn a_disk_that_is_waited_for_is_no_silence() {
    let (frames, _) = ask(vec![row(SLOW, 1)], &[&request(7, "queue.list", json!({}))]);
    let n_signs = frames.iter().filter(|frame| frame["rows"] == json!([]));
    assert!(n_signs.count() >= 2, "{frames:?}");
    assert_eq!(ids(&frames), [SLOW]);
}

/// A queue is counted from memory where the filter allows it, and else read.
#[test]
fn a_count_from_memory_and_one_by_reading_are_the_same() {
    let rows: Vec<_> = (1..=20_000).map(|id| row(id, 1)).collect();
    for filter in [&["state=deferred"][..], &["state=deferred", "to=*"]] {
        let args = json!({"filter": filter});
        let (frames, _) = ask(rows.clone(), &[&request(7, "queue.count", args)]);
        let mut counted = frames.last().expect("a frame")["ok"].clone();
        assert!(counted["oldest_seconds"].take().as_u64() > Some(0));
        let expected = json!({
            "messages": 20_000, "recipients": 20_000, "deferred": 20_000, "held": 0,
            "size": 20_000_000, "oldest_seconds": null,
        });
        assert_eq!(counted, expected, "{filter:?}");
    }
}

#[test]
fn a_message_with_more_recipients_than_fit_becomes_several_rows() {
    let (frames, _) = ask(vec![row(1, 500)], &[&request(7, "queue.show", json!({}))]);
    let rows: Vec<_> = frames
        .iter()
        .filter_map(|frame| frame["rows"].as_array())
        .flatten()
        .collect();
    assert!(rows.len() > 1);
    let shown = rows
        .iter()
        .filter_map(|row| row["recipients"].as_array())
        .flatten();
    let shown: Vec<_> = shown
        .filter_map(|recipient| recipient["index"].as_u64())
        .collect();
    assert_eq!(shown, (0..500).collect::<Vec<_>>());
}

#[test]
fn a_step_touches_what_the_filter_chooses_and_a_dry_run_nothing() {
    let rows = vec![row(1, 2), row(2, 2), row(3, 2)];
    let args =
        |dry| json!({"filter": ["from=sender1*", "to=user1@*"], "by": "uid 0", "dry_run": dry});
    let (frames, steered) = ask(rows.clone(), &[&request(1, "queue.hold", args(true))]);
    assert_eq!(ids(&frames), [1, 3]);
    assert_eq!(steered, []);
    assert_eq!(frames.last().expect("a frame")["ok"]["recipients"], 2);

    let (frames, steered) = ask(rows, &[&request(1, "queue.hold", args(false))]);
    assert_eq!(
        steered,
        [
            (Step::Hold, 1, Some(vec![1])),
            (Step::Hold, 3, Some(vec![1]))
        ]
    );
    assert_eq!(frames.last().expect("a frame")["ok"]["messages"], 2);
}

#[test]
fn a_step_is_done_to_all_recipients_of_a_message_at_once() {
    let args = json!({"filter": ["to=user*"], "by": "uid 0"});
    let (frames, steered) = ask(vec![row(1, 3)], &[&request(1, "queue.release", args)]);
    assert_eq!(steered, [(Step::Release, 1, Some(vec![0, 1, 2]))]);
    assert_eq!(frames.last().expect("a frame")["ok"]["recipients"], 3);
}

#[test]
fn a_step_that_takes_its_time_is_no_silence() {
    let args = json!({"filter": ["to=*"], "by": "uid 0"});
    let (frames, _) = ask(vec![row(SLOW_STEP, 1)], &[&request(1, "queue.drop", args)]);
    let n_signs = frames.iter().filter(|frame| frame["rows"] == json!([]));
    assert!(n_signs.count() >= 3, "{frames:?}");
    assert_eq!(frames.last().expect("a frame")["ok"]["recipients"], 1);
}

#[test]
fn a_number_finds_its_message_and_no_other() {
    let rows: Vec<_> = [1, 5, 600].map(|id| row(id, 1)).into();
    for (word, expected) in [("5", &[5][..]), ("4", &[]), ("600", &[600]), ("0", &[])] {
        let args = json!({"filter": [word]});
        let (frames, _) = ask(rows.clone(), &[&request(1, "queue.list", args)]);
        assert_eq!(ids(&frames), expected, "{word}");
    }
}

#[test]
fn a_step_that_fails_is_told_and_the_others_are_done() {
    let rows = vec![row(665, 1), row(666, 1), row(667, 1)];
    let (frames, steered) = ask(
        rows,
        &[&request(
            1,
            "queue.drop",
            json!({"filter": [], "by": "uid 0"}),
        )],
    );
    assert_eq!(steered.len(), 2);
    let ok = &frames.last().expect("a frame")["ok"];
    assert_eq!(
        (&ok["n_errors"], &ok["errors"]),
        (&json!(1), &json!(["the spool is full"]))
    );
}

#[test]
fn a_message_that_cannot_be_read_is_listed_where_memory_says_that_it_is_meant() {
    let rows = vec![row(1, 1), row(UNREADABLE, 3), row(UNREADABLE + 1, 1)];
    for (filter, is_listed) in [
        (&[][..], true),
        (&["state=deferred"], true),
        (&["state=held"], false),
        (&["size>1"], true),
        (&["from=*"], false),
        (&["to=*"], false),
    ] {
        let args = json!({"filter": filter});
        let (frames, _) = ask(rows.clone(), &[&request(1, "queue.list", args)]);
        let rows = frames.iter().filter_map(|frame| frame["rows"].as_array());
        let mut rows = rows.flatten().filter(|row| row["id"] == UNREADABLE);
        let found = rows.next();
        assert_eq!(found.is_some(), is_listed, "{filter:?}");
        assert!(found.is_none_or(|row| row["unreadable"] == true && row["n_recipients"] == 3));
    }
    // Neither does a step to all touch it.
    let all = json!({"filter": [], "by": "uid 0"});
    let (_, steered) = ask(rows, &[&request(1, "queue.drop", all)]);
    assert_eq!(steered.len(), 2, "{steered:?}");
}

#[test]
fn a_message_that_cannot_be_read_is_steered_by_its_id() {
    let one = json!({"filter": [format!("id={UNREADABLE}")], "by": "uid 0"});
    let rows = vec![row(1, 1)];
    let (frames, steered) = ask(rows.clone(), &[&request(1, "queue.drop", one)]);
    assert_eq!(steered, [(Step::Drop, UNREADABLE, None)]);
    assert_eq!(frames.last().expect("a frame")["ok"]["messages"], 1);
    // Whether it is from there nobody knows.
    let two = json!({"filter": [format!("id={UNREADABLE}"), "from=*".to_owned()], "by": "uid 0"});
    let (frames, steered) = ask(rows, &[&request(1, "queue.drop", two)]);
    assert_eq!(steered, []);
    assert_eq!(frames.last().expect("a frame")["ok"]["messages"], 0);
}

#[test]
fn requests_are_answered_though_others_go_on_and_stale_ones_are_not_done() {
    let rows: Vec<_> = (1..=2000).map(|id| row(id, 1)).collect();
    let stale = json!({"id": 1, "verb": "queue.drop", "until": 5, "args": {"by": "uid 0"}});
    let view = [
        &request(2, "queue.list", json!({})) as &str,
        &request(3, "status", json!({})),
        &request(4, "queue.bounce", json!({})),
        &request(
            5,
            "queue.drop",
            json!({"filter": ["form=x"], "by": "uid 0"}),
        ),
        &request(6, "queue.drop", json!({})),
        &request(7, "queue.count", json!({"filter": ["from=sender0*"]})),
    ];
    let (frames, steered) = ask(rows, &view);
    assert_eq!(steered, []);
    let last = |id: u64| {
        frames
            .iter()
            .find(|f| f["id"] == id && f["more"] != json!(true))
            .expect("an answer")
    };
    assert_eq!(last(3)["ok"]["generation"], 3);
    assert_eq!(last(3)["ok"]["notes"], json!(["all is well"]));
    assert_eq!(last(4)["error"], "no such verb: queue.bounce");
    assert!(
        last(5)["error"]
            .as_str()
            .expect("a text")
            .contains("`form=`")
    );
    assert_eq!(last(6)["error"], "it is not said by whom");
    assert_eq!(last(7)["ok"]["messages"], 1000);
    let first_of_list = frames
        .iter()
        .position(|f| f["id"] == 2 && f["more"] != json!(true));
    let status = frames.iter().position(|f| f["id"] == 3);
    assert!(status < first_of_list, "status waited for the list");

    let (frames, steered) = ask(
        vec![row(1, 1)],
        &[&stale.to_string(), &request(2, "status", json!({}))],
    );
    assert_eq!((frames.len(), steered.len()), (1, 0));
}
