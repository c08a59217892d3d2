use super::{packet, verbs, *};
use crate::terms::*;
use proptest::prelude::*;

fn step() -> impl Strategy<Value = Step> {
    (0_u8..7).prop_map(|byte| Step::from_byte(byte).expect("a step"))
}

fn obstacle() -> impl Strategy<Value = Obstacle> {
    prop_oneof![
        (step(), any::<i32>()).prop_map(|(step, errno)| Obstacle::Failed(step, errno)),
        (any::<i32>(), any::<[u8; 16]>(), 0_u8..5, any::<i64>()).prop_map(
            |(tid, name, kind, call)| Obstacle::Unparked(Thread {
                tid,
                name,
                why: Hindrance::from_numbers(kind, call).expect("a hindrance"),
            })
        ),
        any::<u32>().prop_map(Obstacle::TooManyThreads),
        (2_u32..8).prop_map(|number| Obstacle::Libc(
            Disagreement::from_number(number).expect("a disagreement")
        )),
    ]
}

fn interrupted_call() -> impl Strategy<Value = InterruptedCall> {
    let call = (any::<i64>(), any::<[u64; 6]>(), any::<u64>(), any::<u64>()).prop_map(
        |(number, arguments, stack, program)| Call {
            number,
            arguments,
            stack,
            program,
        },
    );
    let clock = prop_oneof![Just(Clock::Ran), Just(Clock::Load)];
    let asleep = (any::<u64>(), any::<u32>(), clock, any::<u64>()).prop_map(
        |(since_ns, processor, clock, sleeps)| Asleep {
            since_ns,
            processor,
            clock,
            sleeps,
        },
    );
    (prop::option::of(call), prop::option::of(asleep)).prop_map(|(call, asleep)| InterruptedCall {
        looked: false,
        call,
        asleep,
        control_length: None,
    })
}

fn thread_counts() -> impl Strategy<Value = ThreadCounts> {
    (any::<[u32; 6]>(), any::<[bool; 2]>()).prop_map(|(numbers, flags)| ThreadCounts {
        tid: numbers[0].cast_signed(),
        threads: numbers[1],
        workers: numbers[2],
        robust: numbers[3],
        other_users: numbers[4],
        has_children: flags[0],
        priority_inheritance: flags[1],
        lost_calls: numbers[5],
    })
}

fn running() -> impl Strategy<Value = Running> {
    (any::<u64>(), any::<u32>()).prop_map(|(at_ns, renewed)| Running { at_ns, renewed })
}

fn filter() -> impl Strategy<Value = Filter> {
    (0..4_usize, any::<i32>()).prop_map(|(what, call)| {
        [
            Filter::Harmless,
            Filter::Strict,
            Filter::Asks,
            Filter::Forbids(call),
        ][what]
    })
}

fn closed() -> impl Strategy<Value = Closed> {
    (any::<u64>(), any::<bool>(), any::<i32>(), any::<i32>()).prop_map(
        |(inode, writes, pid, fd)| Closed {
            inode,
            writes,
            pid,
            fd,
        },
    )
}

fn gaps() -> impl Strategy<Value = Gap> {
    (
        0..Kind::ALL.len(),
        0..Why::ALL.len(),
        any::<i32>(),
        any::<u64>(),
        any::<Vec<u8>>(),
    )
        .prop_map(|(kind, why, fd, number, address)| Gap {
            kind: Kind::ALL[kind],
            why: Why::ALL[why],
            fd,
            number,
            address: Address::new(&address),
        })
}

fn ended() -> impl Strategy<Value = Ended> {
    (any::<i32>(), 0..4_usize).prop_map(|(number, how)| {
        [
            Ended::Exited(number),
            Ended::Killed(number),
            Ended::Reverted,
            Ended::Interrupted,
        ][how]
    })
}

fn from_caller() -> impl Strategy<Value = FromCaller> {
    prop_oneof![
        Just(FromCaller::Hello),
        (any::<u64>(), ".{0,200}", any::<u32>(), 0..3_usize).prop_map(
            |(at_ns, label, number, who)| FromCaller::Begin {
                ask: [Ask::Signal, Ask::Api, Ask::Request(number)][who],
                at_ns,
                label: Text::new(&label),
            }
        ),
        Just(FromCaller::Exec),
        closed().prop_map(FromCaller::Closed),
        (any::<i32>(), any::<u32>())
            .prop_map(|(sender, passed)| FromCaller::Interrupted { sender, passed }),
        any::<u32>().prop_map(|id| FromCaller::Revert { id }),
        Just(FromCaller::Commit),
        any::<u32>().prop_map(|id| FromCaller::Drop { id }),
        Just(FromCaller::List),
        filter().prop_map(FromCaller::Filtered),
        filter().prop_map(FromCaller::Unfiltered),
        (0_u8..4).prop_map(|byte| FromCaller::Uses(OwnUse::from_byte(byte).expect("a use"))),
    ]
}

fn to_caller() -> impl Strategy<Value = ToCaller> {
    prop_oneof![
        any::<[bool; 4]>().prop_map(|[take_at_start, no_files, journal, reseed]| {
            ToCaller::Welcome {
                take_at_start,
                no_files,
                journal,
                reseed,
            }
        }),
        Just(ToCaller::Denied),
        Just(ToCaller::Carry),
        Just(ToCaller::Gone),
        Just(ToCaller::Own),
        (any::<u32>(), any::<[u32; LISTED]>())
            .prop_map(|(depth, ids)| ToCaller::Done { depth, ids }),
    ]
}

fn from_taker() -> impl Strategy<Value = FromTaker> {
    prop_oneof![
        thread_counts().prop_map(FromTaker::Parked),
        Just(FromTaker::Split),
        obstacle().prop_map(FromTaker::Hindered),
        running().prop_map(FromTaker::Running),
        Just(FromTaker::Keeper),
        any::<[bool; 3]>().prop_map(|[no_new_privs, is_restricted, waits_killable]| {
            FromTaker::Listener {
                no_new_privs,
                is_restricted,
                waits_killable,
            }
        }),
        any::<i32>().prop_map(|errno| FromTaker::NoListener { errno }),
        Just(FromTaker::Guards),
    ]
}

fn to_taker() -> impl Strategy<Value = ToTaker> {
    prop_oneof![
        (any::<u32>(), interrupted_call(), any::<[bool; 2]>()).prop_map(
            |(id, interrupted_call, [keeper, journal])| ToTaker::Granted {
                id,
                interrupted_call,
                keeper,
                journal,
            }
        ),
        Just(ToTaker::Denied),
        any::<u32>().prop_map(|id| ToTaker::Go { id }),
    ]
}

fn from_frozen() -> impl Strategy<Value = FromFrozen> {
    prop_oneof![
        Just(FromFrozen::Made),
        Just(FromFrozen::Again),
        gaps().prop_map(FromFrozen::Gap),
        Just(FromFrozen::Ready),
        (step(), any::<i32>()).prop_map(|(step, errno)| FromFrozen::Failed { step, errno }),
        (any::<i32>(), any::<i32>())
            .prop_map(|(signal, sender)| FromFrozen::Passed { signal, sender }),
        Just(FromFrozen::LetGo),
        Just(FromFrozen::Prepared),
        obstacle().prop_map(FromFrozen::Hindered),
        (0..Part::ALL.len(), any::<u32>()).prop_map(|(part, count)| FromFrozen::NotRestored {
            part: Part::ALL[part],
            count,
        }),
        Just(FromFrozen::Becoming),
        any::<i32>().prop_map(|errno| FromFrozen::Stayed { errno }),
        any::<u32>().prop_map(|renewed| FromFrozen::Opening { renewed }),
        running().prop_map(FromFrozen::Running),
        Just(FromFrozen::Keeper),
    ]
}

fn to_frozen() -> impl Strategy<Value = ToFrozen> {
    prop_oneof![
        closed().prop_map(ToFrozen::LetGo),
        any::<u32>().prop_map(|threads| ToFrozen::Prepare { threads }),
        (any::<u64>(), ended(), prop::option::of(any::<i32>())).prop_map(
            |(asked_ns, ended, same_ids)| ToFrozen::Revive {
                asked_ns,
                ended,
                same_ids,
            }
        ),
        Just(ToFrozen::Retire),
    ]
}

/// Which of the six ends have this message, in the order of the table of verbs.
fn said_by(packet: &Packet) -> [bool; 6] {
    [
        FromCaller::decode(packet).is_some(),
        FromTaker::decode(packet).is_some(),
        FromFrozen::decode(packet).is_some(),
        ToCaller::decode(packet).is_some(),
        ToTaker::decode(packet).is_some(),
        ToFrozen::decode(packet).is_some(),
    ]
}

/// The message decodes as itself at this end, and at no other.
fn comes_back<M: Message>(message: M, end: usize) {
    let packet = message.encode();
    assert_eq!(M::decode(&packet), Some(message));
    let mut only = [false; 6];
    only[end] = true;
    assert_eq!(said_by(&packet), only, "{message:?}");
    let out_of_turn = [
        is_out_of_turn::<Caller>(&packet),
        is_out_of_turn::<Taker>(&packet),
        is_out_of_turn::<Frozen>(&packet),
    ];
    let is_agents = end < 3;
    assert_eq!(
        out_of_turn,
        [0, 1, 2].map(|other| is_agents && other != end),
        "{message:?}"
    );
    let mut of_another_version = packet;
    of_another_version[0] = VERSION + 1;
    assert_eq!(said_by(&of_another_version), [false; 6], "{message:?}");
    assert!(!is_out_of_turn::<Caller>(&of_another_version));
}

proptest! {
    #[test]
    fn what_a_caller_says_comes_back(message in from_caller()) {
        comes_back(message, 0);
    }

    #[test]
    fn what_a_taker_says_comes_back(message in from_taker()) {
        comes_back(message, 1);
    }

    #[test]
    fn what_a_copy_says_comes_back(message in from_frozen()) {
        comes_back(message, 2);
    }

    #[test]
    fn what_a_caller_hears_comes_back(message in to_caller()) {
        comes_back(message, 3);
    }

    #[test]
    fn what_a_taker_hears_comes_back(message in to_taker()) {
        comes_back(message, 4);
    }

    #[test]
    fn what_a_copy_hears_comes_back(message in to_frozen()) {
        comes_back(message, 5);
    }

    #[test]
    fn noise_is_no_panic(noise in prop::collection::vec(any::<u8>(), MESSAGE_BYTES)) {
        let mut packet: Packet = noise.try_into().expect("the length asked for");
        let _ = said_by(&packet);
        for number in 0..=u8::MAX {
            packet[..2].copy_from_slice(&[VERSION, number]);
            if let Some(FromCaller::Begin { label, .. }) = FromCaller::decode(&packet) {
                let _ = label.as_str();
            }
            let ends = said_by(&packet);
            prop_assert!(ends.iter().filter(|says| **says).count() <= 1, "{number}");
        }
    }

    #[test]
    fn a_text_is_a_prefix(text in ".{0,300}") {
        let short = Text::new(&text);
        prop_assert!(text.starts_with(short.as_str()));
        prop_assert!(text.len() > Text::CAPACITY || short.as_str() == text);
    }
}

#[test]
fn a_mute_request_is_known_by_its_last_bits() {
    for (request, errno) in [(0, 24), (1, 23), (0x12_3456, 12)] {
        assert_eq!(
            crate::terms::muted(crate::terms::mute(request, errno)),
            Some((request, errno))
        );
    }
    assert_eq!(
        crate::terms::muted(crate::terms::mute(0xff00_0007, 1)),
        Some((7, 1))
    );
    assert_eq!(crate::terms::muted(crate::terms::REQUEST_MAGIC | 7), None);
}

/// Each list of the table: a row without a gap, and no number twice.
#[test]
fn every_number_is_one_verb() {
    fn numbers<V: Copy>(all: &[V], number: fn(V) -> u8) -> Vec<u8> {
        all.iter().map(|verb| number(*verb)).collect()
    }
    let rows = [
        numbers(verbs::FromCaller::ALL, |verb| verb as u8),
        numbers(verbs::FromTaker::ALL, |verb| verb as u8),
        numbers(verbs::FromFrozen::ALL, |verb| verb as u8),
        numbers(verbs::ToCaller::ALL, |verb| verb as u8),
        numbers(verbs::ToTaker::ALL, |verb| verb as u8),
        numbers(verbs::ToFrozen::ALL, |verb| verb as u8),
    ];
    for row in &rows {
        assert!(row.windows(2).all(|two| two[1] == two[0] + 1), "{row:?}");
    }
    let all = rows.concat();
    assert!(all.windows(2).all(|two| two[0] < two[1]), "{all:?}");
    // A number without a verb is no message at any end.
    for number in (0..=u8::MAX).filter(|number| !all.contains(number)) {
        let packet = packet::Writer::new(number).packet;
        assert_eq!(said_by(&packet), [false; 6], "{number}");
        assert!(!is_out_of_turn::<Caller>(&packet), "{number}");
    }
}

/// Checks the bytes: the two sides may have different builds.
#[test]
fn a_message_is_its_verb_and_its_fields_in_a_row() {
    let failed = FromFrozen::Failed {
        step: Step::Record,
        errno: 12,
    };
    assert_eq!(failed.encode()[..8], [VERSION, 35, 3, 12, 0, 0, 0, 0]);
    let revive = ToFrozen::Revive {
        asked_ns: 0x0102,
        ended: Ended::Killed(9),
        same_ids: Some(7),
    };
    assert_eq!(
        revive.encode()[..21],
        [
            VERSION, 87, 2, 1, 0, 0, 0, 0, 0, 0, 1, 9, 0, 0, 0, 1, 7, 0, 0, 0, 0
        ]
    );
    let begin = FromCaller::Begin {
        ask: Ask::Request(3),
        at_ns: 4,
        label: Text::new("ab"),
    };
    assert_eq!(
        begin.encode()[..19],
        [
            VERSION, 2, 2, 3, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 2, b'a', b'b', 0
        ]
    );
}
