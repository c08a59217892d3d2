use super::*;
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

fn from_agent() -> impl Strategy<Value = FromAgent> {
    prop_oneof![
        Just(FromAgent::Hello),
        (any::<u64>(), ".{0,200}", any::<u32>(), 0..3_usize).prop_map(
            |(at_ns, label, number, who)| FromAgent::Begin {
                ask: [Ask::Signal, Ask::Api, Ask::Request(number)][who],
                at_ns,
                label: Text::new(&label),
            }
        ),
        obstacle().prop_map(FromAgent::Hindered),
        (any::<[u32; 6]>(), any::<[bool; 2]>()).prop_map(|(numbers, flags)| {
            FromAgent::Parked(ThreadCounts {
                tid: numbers[0].cast_signed(),
                threads: numbers[1],
                workers: numbers[2],
                robust: numbers[3],
                other_users: numbers[4],
                has_children: flags[0],
                priority_inheritance: flags[1],
                lost_calls: numbers[5],
            })
        }),
        Just(FromAgent::Made),
        Just(FromAgent::Again),
        Just(FromAgent::Split),
        Just(FromAgent::Ready),
        (step(), any::<i32>()).prop_map(|(step, errno)| FromAgent::Spoilt(step, errno)),
        (any::<u64>(), any::<u32>())
            .prop_map(|(at_ns, renewed)| FromAgent::Running(Running { at_ns, renewed })),
        (0..Part::ALL.len(), any::<u32>()).prop_map(|(part, count)| FromAgent::NotRestored {
            part: Part::ALL[part],
            count,
        }),
        Just(FromAgent::Becoming),
        Just(FromAgent::Keeper),
        any::<i32>().prop_map(|errno| FromAgent::Stayed { errno }),
        (any::<i32>(), any::<i32>())
            .prop_map(|(signal, sender)| FromAgent::Passed { signal, sender }),
        (any::<i32>(), any::<u32>())
            .prop_map(|(sender, passed)| FromAgent::Interrupted { sender, passed }),
        Just(FromAgent::Exec),
        Just(FromAgent::LetGo),
        closed().prop_map(FromAgent::Closed),
        (
            0..Kind::ALL.len(),
            0..Why::ALL.len(),
            any::<i32>(),
            any::<u64>(),
            any::<Vec<u8>>()
        )
            .prop_map(|(kind, why, fd, number, address)| {
                FromAgent::Remains(Remains {
                    kind: Kind::ALL[kind],
                    why: Why::ALL[why],
                    fd,
                    number,
                    address: Address::new(&address),
                })
            }),
        Just(FromAgent::Prepared),
        any::<u32>().prop_map(|renewed| FromAgent::Opening { renewed }),
        any::<u32>().prop_map(|id| FromAgent::Revert { id }),
        Just(FromAgent::Commit),
        any::<u32>().prop_map(|id| FromAgent::Drop { id }),
        Just(FromAgent::List),
        (0_u8..4).prop_map(|byte| FromAgent::Uses(OwnUse::from_byte(byte).expect("a use"))),
        (0..4_usize, any::<i32>(), any::<bool>()).prop_map(|(what, call, is_set)| {
            let filter = [
                Filter::Harmless,
                Filter::Strict,
                Filter::Asks,
                Filter::Forbids(call),
            ][what];
            if is_set {
                FromAgent::Filtered(filter)
            } else {
                FromAgent::Unfiltered(filter)
            }
        }),
    ]
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

fn from_supervisor() -> impl Strategy<Value = FromSupervisor> {
    prop_oneof![
        any::<[bool; 3]>().prop_map(
            |[take_at_start, no_files, reseed]| FromSupervisor::Welcome {
                take_at_start,
                no_files,
                reseed,
            }
        ),
        closed().prop_map(FromSupervisor::LetGo),
        (any::<u32>(), interrupted_call(), any::<bool>()).prop_map(
            |(id, interrupted_call, keeper)| {
                FromSupervisor::Granted {
                    id,
                    interrupted_call,
                    keeper,
                }
            }
        ),
        any::<u32>().prop_map(|id| FromSupervisor::Go { id }),
        Just(FromSupervisor::Denied),
        (
            any::<u64>(),
            any::<i32>(),
            0..4_usize,
            prop::option::of(any::<i32>())
        )
            .prop_map(|(asked_ns, number, how, same_ids)| {
                FromSupervisor::Revive {
                    same_ids,
                    asked_ns,
                    ended: [
                        Ended::Exited(number),
                        Ended::Killed(number),
                        Ended::Reverted,
                        Ended::Interrupted,
                    ][how],
                }
            }),
        any::<u32>().prop_map(|threads| FromSupervisor::Prepare { threads }),
        Just(FromSupervisor::Retire),
        Just(FromSupervisor::Gone),
        Just(FromSupervisor::Own),
        Just(FromSupervisor::Carry),
        (any::<u32>(), any::<[u32; LISTED]>())
            .prop_map(|(depth, ids)| FromSupervisor::Done { depth, ids }),
    ]
}

proptest! {
    #[test]
    fn agent_messages_come_back(message in from_agent()) {
        prop_assert_eq!(FromAgent::decode(&message.encode()), Some(message));
    }

    #[test]
    fn supervisor_messages_come_back(message in from_supervisor()) {
        prop_assert_eq!(FromSupervisor::decode(&message.encode()), Some(message));
    }

    #[test]
    fn noise_is_no_panic(noise in prop::collection::vec(any::<u8>(), MESSAGE_BYTES)) {
        let packet: Packet = noise.try_into().expect("the length asked for");
        if let Some(FromAgent::Begin { label, .. }) = FromAgent::decode(&packet) {
            let _ = label.as_str();
        }
        let _ = FromSupervisor::decode(&packet);
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
