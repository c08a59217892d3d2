//! What a revert says about the program's children.

use snapshot_core::terms::SnapshotId;

use crate::processes::family::title;
use crate::talk::event::{EndedChild, KeptChild};

fn processes(count: usize, one: &str, more: &str, target: SnapshotId) -> String {
    let (count, verb) = match count {
        1 => ("1 process".to_owned(), one),
        count => (format!("{count} processes"), more),
    };
    format!("{count} that the program had started before {target} {verb}: ")
}

/// `2 processes that the program had started before #1 stay its children: sleep (123), make (124)`
pub(super) fn name_kept(kept: &[KeptChild], target: SnapshotId) -> Option<String> {
    let names: Vec<String> = kept
        .iter()
        .map(|child| title(&child.name, child.pid))
        .collect();
    (!names.is_empty()).then(|| {
        processes(kept.len(), "stays its child", "stay its children", target) + &names.join(", ")
    })
}

/// `1 process that the program had started before #1 has ended since: sh (125) with status 3`
pub(super) fn name_ended(ended: &[EndedChild], target: SnapshotId) -> Option<String> {
    let names: Vec<String> = ended
        .iter()
        .map(|child| {
            let how = match (child.code, child.signal) {
                (Some(code), _) => format!("with status {code}"),
                (None, Some(signal)) => format!("by {}", crate::talk::signals::name_of(signal)),
                (None, None) => "and its exit status is lost".to_owned(),
            };
            format!("{} {how}", title(&child.name, child.pid))
        })
        .collect();
    (!names.is_empty()).then(|| {
        processes(ended.len(), "has ended since", "have ended since", target) + &names.join(", ")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn children_are_named() {
        let target = SnapshotId::new(1);
        let kept = |pid| KeptChild {
            pid,
            name: "sleep".to_owned(),
        };
        assert_eq!(name_kept(&[], target), None);
        assert_eq!(
            name_kept(&[kept(5)], target).as_deref(),
            Some("1 process that the program had started before #1 stays its child: sleep (5)")
        );
        assert_eq!(
            name_kept(&[kept(5), kept(6)], target).as_deref(),
            Some(
                "2 processes that the program had started before #1 stay its children: sleep (5), sleep (6)"
            )
        );
        let ended = |code, signal| EndedChild {
            pid: 7,
            name: "sh".to_owned(),
            code,
            signal,
        };
        assert_eq!(
            name_ended(&[ended(Some(3), None)], target).as_deref(),
            Some(
                "1 process that the program had started before #1 has ended since: sh (7) with status 3"
            )
        );
        assert_eq!(
            name_ended(&[ended(None, Some(9)), ended(None, None)], target).as_deref(),
            Some(
                "2 processes that the program had started before #1 have ended since: sh (7) by SIGKILL, sh (7) and its exit status is lost"
            )
        );
    }
}
