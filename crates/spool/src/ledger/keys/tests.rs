//! What is claimed, kept and forgotten, and how it is counted.

use super::*;

const SENDERS: [SpoolId; 2] = [SpoolId::from_bytes([1; 16]), SpoolId::from_bytes([2; 16])];

fn key(number: u64) -> HandoffKey {
    HandoffKey {
        sender: SENDERS[0],
        epoch: 3,
        number,
    }
}

fn accepted_key(number: u64) -> AcceptedKey {
    AcceptedKey {
        key: key(number),
        accepted: [0].into_iter().collect(),
    }
}

fn table() -> KeyTable {
    let mut table = KeyTable::default();
    table.limit(1 << 20);
    table
}

/// What is held, counted anew: keys, and the octets of their snapshot.
fn counted(table: &KeyTable) -> (usize, u64) {
    let entries = || table.groups.values().flat_map(|g| g.numbers.values());
    let groups_len = GROUP_LEN * table.groups.len() as u64;
    let len: u64 = entries().map(Entry::snapshot_len).sum();
    (entries().count(), groups_len + len)
}

#[test]
fn keys_and_the_room_they_take_are_counted_whatever_becomes_of_them() {
    for seed in 0..200_u64 {
        let mut state = seed;
        let mut draw = |n: u64| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            (state >> 33) % n
        };
        let mut table = table();
        let mut claims = Vec::new();
        for step in 0..200 {
            let place = usize::try_from(draw(2)).unwrap_or(0);
            let key = HandoffKey {
                sender: SENDERS[place],
                epoch: draw(2),
                number: draw(8),
            };
            let set: IndexSet = (0..u32::try_from(draw(200)).unwrap_or(0)).collect();
            match draw(10) {
                0 | 1 => claims.extend(table.claim(&key, draw(4)).map(|claim| (key, claim))),
                2 => {
                    let accepted = set;
                    let _ = table.claim_at_once(&AcceptedKey { key, accepted });
                }
                // Replay finds keys that nobody claimed.
                3 | 4 => table.accepted(&key, set, draw(4)),
                5 => table.release(&key, &CommitError::Full),
                6 => table.forget(key.sender, key.epoch, draw(9)),
                7 => table.forget_epochs(key.sender, &[draw(2)]),
                8 => {
                    let snapshot = table.snapshot();
                    if draw(8) == 0 {
                        table.replace(snapshot);
                        table.limit(1 << 20);
                    }
                }
                _ => {
                    if let Some((key, claim)) = claims.pop() {
                        if draw(2) == 0 {
                            table.abandon(&key, claim);
                        } else {
                            let _ = table.confirm(&key, claim);
                        }
                    }
                }
            }
            let held = (table.len(), table.snapshot_len());
            assert_eq!(held, counted(&table), "seed {seed}, step {step}");
        }
    }
}

#[test]
fn a_number_below_the_lowest_that_is_in_doubt_is_claimed_by_none() {
    let mut table = table();
    table.claim_at_once(&accepted_key(1)).expect("unknown");
    table.accepted(&key(1), IndexSet::all(1), 0);
    table.forget(SENDERS[0], 3, 2);
    let refused = table.claim_at_once(&accepted_key(1));
    assert_eq!(refused, Err(Unclaimable::Settled));
    assert_eq!(table.claim(&key(1), 1), Err(Unclaimable::Settled));
    assert!(table.claim(&key(2), 2).is_ok());
}

#[test]
fn a_sender_that_opened_its_spool_anew_may_ask_again_and_is_remembered() {
    let mut table = table();
    assert!(table.claim(&key(9), 9).is_ok());
    assert_eq!(table.claim(&key(5), 5), Err(Unclaimable::Settled));
    table.sender_opened(SENDERS[0]);
    let claim = table.claim(&key(5), 5).expect("in doubt again");
    assert!(table.confirm(&key(5), claim));
    table.accepted(&key(5), IndexSet::all(1), 0);
    assert!(matches!(table.lookup(&key(5)), KeyState::Accepted(_)));
}

#[test]
fn a_claim_that_is_given_up_leaves_a_newer_one_alone() {
    let mut table = table();
    let old = table.claim(&key(1), 1).expect("unknown");
    let new = table.claim(&key(1), 1).expect("not committed yet");
    table.abandon(&key(1), old);
    assert!(table.confirm(&key(1), new));
    table.abandon(&key(1), new);
    assert_eq!(table.claim(&key(1), 1), Err(Unclaimable::Known));
    table.release(&key(1), &CommitError::Full);
    assert!(table.claim(&key(1), 1).is_ok());
}

#[test]
fn as_many_keys_are_claimed_as_are_remembered_and_no_more() {
    let mut table = table();
    let len = GROUP_LEN + 3 * key_len(&IndexSet::default());
    table.limit(len);
    for number in 1..=3 {
        table.accepted(&key(number), IndexSet::default(), 0);
    }
    assert_eq!(table.claim(&key(4), 1), Err(Unclaimable::Full));
    assert!(!table.has_room_for(&IndexSet::all(1)));
    table.forget(SENDERS[0], 3, 2);
    assert!(table.claim(&key(4), 2).is_ok());
}
