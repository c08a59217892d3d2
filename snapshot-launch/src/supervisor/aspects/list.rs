//! All aspects, in the order in which every act walks them.

use snapshot_core::terms::Ended;

use super::{
    aspect::{Aspect, Resumed, Standstill},
    children::tracked::Children,
    closings::Closings,
    files::Files,
    keepers::Keepers,
    screen::Screens,
};
use crate::refusal::Refusal;

/// Defines the struct of all aspects, the struct of their records, and the walks over them.
macro_rules! aspects {
    ($($(#[$doc:meta])* $name:ident: $type:ty,)+) => {
        /// Everything that the session keeps track of.
        pub(crate) struct Aspects {
            $($(#[$doc])* pub(crate) $name: $type,)+
        }

        /// What the aspects keep with one snapshot.
        pub(crate) struct Kept {
            $(pub(crate) $name: <$type as Aspect>::Kept,)+
        }

        impl Aspects {
            /// [`Aspect::take`]. If one aspect refuses, those before it undo what they did, the
            /// last one first. `earlier` are the records of all snapshots.
            pub(crate) fn take(
                &mut self,
                still: &mut Standstill<'_>,
                earlier: &[&Kept],
            ) -> Result<Kept, Refusal> {
                aspects!(@take self, still, earlier, [] $($name)+);
                Ok(Kept { $($name,)+ })
            }

            /// [`Aspect::undo`], in the reverse order.
            pub(crate) fn undo(&mut self, kept: &Kept, left: usize) {
                aspects!(@undo self, kept, left, [] $($name)+);
            }

            /// [`Aspect::branch_ends`].
            pub(crate) fn branch_ends(&mut self) {
                $(self.$name.branch_ends();)+
            }

            /// [`Aspect::revert`].
            pub(crate) fn revert(&mut self, kept: &Kept, ended: Ended) {
                $(self.$name.revert(&kept.$name, ended);)+
            }

            /// [`Aspect::waking`].
            pub(crate) fn waking(&mut self) {
                $(self.$name.waking();)+
            }

            /// [`Aspect::resumed`].
            pub(crate) fn resumed(&mut self, kept: &Kept, news: &mut Resumed<'_>) {
                $(self.$name.resumed(&kept.$name, news);)+
            }

            /// [`Aspect::settled`].
            pub(crate) fn settled(&mut self) {
                $(self.$name.settled();)+
            }

            /// [`Aspect::forget`].
            pub(crate) fn forget(&mut self, kept: &Kept, left: usize) {
                $(self.$name.forget(&kept.$name, left);)+
            }

            /// [`Aspect::session_ends`].
            pub(crate) fn session_ends(&mut self) {
                $(self.$name.session_ends();)+
            }
        }
    };
    (@take $self:ident, $still:ident, $earlier:ident, [$($done:ident)*] $next:ident $($rest:ident)*) => {
        let records: Vec<_> = $earlier.iter().map(|kept| &kept.$next).collect();
        let $next = match $self.$next.take($still, &records) {
            Ok(kept) => kept,
            Err(refusal) => {
                $($self.$done.undo(&$done, $earlier.len());)*
                return Err(refusal);
            }
        };
        aspects!(@take $self, $still, $earlier, [$next $($done)*] $($rest)*);
    };
    (@take $self:ident, $still:ident, $earlier:ident, [$($done:ident)*]) => {};
    (@undo $self:ident, $kept:ident, $left:ident, [$($done:ident)*] $next:ident $($rest:ident)*) => {
        aspects!(@undo $self, $kept, $left, [$next $($done)*] $($rest)*);
    };
    (@undo $self:ident, $kept:ident, $left:ident, [$($done:ident)*]) => {
        $($self.$done.undo(&$kept.$done, $left);)*
    };
}

aspects! {
    /// The terminal, as the program set it.
    screens: Screens,
    /// The processes that the program started.
    children: Children,
    /// The tasks that hold the memory of what has ended.
    keepers: Keepers,
    /// The closes that wait until the snapshots have let go.
    closings: Closings,
    /// The files that the program changes.
    files: Files,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::processes::outside::Outside;
    use snapshot_core::terms::SnapshotId;
    use std::cell::RefCell;
    use std::collections::HashSet;
    use std::rc::Rc;

    /// Writes down what it hears.
    pub(super) struct Fake {
        name: &'static str,
        refuses: bool,
        heard: Rc<RefCell<Vec<String>>>,
    }

    impl Fake {
        fn hears(&self, what: &str) {
            self.heard
                .borrow_mut()
                .push(format!("{} {what}", self.name));
        }
    }

    impl Aspect for Fake {
        type Kept = &'static str;

        fn take(
            &mut self,
            _still: &mut Standstill<'_>,
            earlier: &[&Self::Kept],
        ) -> Result<Self::Kept, Refusal> {
            assert!(earlier.iter().all(|kept| **kept == self.name));
            self.hears("take");
            match self.refuses {
                true => Err(Refusal::failed("no room", "make some")),
                false => Ok(self.name),
            }
        }

        fn undo(&mut self, kept: &Self::Kept, left: usize) {
            self.hears(&format!("undo {kept}, {left} left"));
        }

        fn branch_ends(&mut self) {
            self.hears("branch ends");
        }

        fn revert(&mut self, kept: &Self::Kept, _ended: Ended) {
            self.hears(&format!("revert {kept}"));
        }

        fn waking(&mut self) {
            self.hears("waking");
        }

        fn resumed(&mut self, kept: &Self::Kept, _news: &mut Resumed<'_>) {
            self.hears(&format!("resumed {kept}"));
        }

        fn settled(&mut self) {
            self.hears("settled");
        }

        fn forget(&mut self, kept: &Self::Kept, left: usize) {
            self.hears(&format!("forget {kept}, {left} left"));
        }

        fn session_ends(&mut self) {
            self.hears("session ends");
        }
    }

    aspects! {
        first: Fake,
        second: Fake,
        third: Fake,
    }

    fn three(refuses: &str) -> (Aspects, Rc<RefCell<Vec<String>>>) {
        let heard = Rc::default();
        let fake = |name| Fake {
            name,
            refuses: name == refuses,
            heard: Rc::clone(&heard),
        };
        let all = Aspects {
            first: fake("first"),
            second: fake("second"),
            third: fake("third"),
        };
        (all, heard)
    }

    fn take(all: &mut Aspects, earlier: &[&Kept]) -> Result<Kept, Refusal> {
        let mut still = Standstill {
            id: SnapshotId::new(1),
            pid: 0,
            children: Vec::new(),
            started: HashSet::new(),
            outside: &Outside::default(),
            notes: Vec::new(),
            not_rolled_back: Vec::new(),
        };
        all.take(&mut still, earlier)
    }

    #[test]
    fn a_refusal_undoes_what_was_taken_before_it_in_reverse() {
        let (mut all, heard) = three("third");
        let refusal = take(&mut all, &[]).err().expect("the third refuses");
        assert_eq!(refusal.why, "no room");
        assert_eq!(
            *heard.borrow(),
            [
                "first take",
                "second take",
                "third take",
                "second undo second, 0 left",
                "first undo first, 0 left",
            ]
        );
    }

    #[test]
    fn a_take_that_fails_later_is_undone_in_reverse() {
        let (mut all, heard) = three("none");
        let kept = take(&mut all, &[]).expect("nobody refuses");
        let next = take(&mut all, &[&kept]).expect("nobody refuses");
        heard.borrow_mut().clear();
        all.undo(&next, 1);
        assert_eq!(
            *heard.borrow(),
            [
                "third undo third, 1 left",
                "second undo second, 1 left",
                "first undo first, 1 left",
            ]
        );
    }

    #[test]
    fn every_step_reaches_each_of_them_in_the_order_of_the_list() {
        let (mut all, heard) = three("none");
        let kept = take(&mut all, &[]).expect("nobody refuses");
        let mut news = Resumed::of(SnapshotId::new(1), None);
        all.branch_ends();
        all.revert(&kept, Ended::Reverted);
        all.waking();
        all.resumed(&kept, &mut news);
        all.settled();
        all.forget(&kept, 2);
        all.session_ends();
        let expected: Vec<String> = [
            "take",
            "branch ends",
            "revert $",
            "waking",
            "resumed $",
            "settled",
            "forget $, 2 left",
            "session ends",
        ]
        .iter()
        .flat_map(|step| {
            ["first", "second", "third"].map(|name| format!("{name} {}", step.replace('$', name)))
        })
        .collect();
        assert_eq!(*heard.borrow(), expected);
    }
}
