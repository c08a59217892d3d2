//! The environment that an exec passes on, so that the agent starts in the next program too:
//! the message to that agent, LD_PRELOAD, and the settings for huge pages if this program was
//! started with them.
//!
//! The supervisor sends the agent as a descriptor for each exec.
//!
//! Context: AS-SAFE, since exec may be called from anywhere.

use core::ffi::{c_char, c_int};
use core::ptr;

use snapshot_core::kernel::tunables;
use snapshot_core::sys::{self, SignalSet};
use snapshot_core::threads::turn::Conversation;
use snapshot_core::wire::{FromCaller, ToCaller};

use crate::session::{self, Bump, Outgoing, PRELOAD, Strings, for_each, text_of, texts_of};

/// The agent, ready for the exec.
pub(super) struct Carried {
    /// The agent's descriptor, which stays open across the exec.
    fd: c_int,
    /// The program's signal mask.
    mask: SignalSet,
    bump: Bump,
    pub(super) environment: Strings,
}

impl Carried {
    /// Gets the agent from the supervisor and writes an environment that loads it. `None` if
    /// either fails: then nothing has changed.
    pub(super) fn prepare(environment: Strings) -> Option<Self> {
        let open = sys::block(SignalSet::PROGRAM);
        let fd = fetch();
        sys::set_mask(open);
        let fd = fd?;
        let Some(mut bump) = Bump::new() else {
            sys::close(fd);
            return None;
        };
        // A trigger waits from here to the constructor of the next program.
        let mask = sys::block(session::trigger_set());
        match write(&mut bump, environment, fd, mask) {
            Some(environment) if sys::keep_across_exec(fd).is_ok() => Some(Self {
                fd,
                mask,
                bump,
                environment,
            }),
            _ => {
                sys::set_mask(mask);
                sys::close(fd);
                bump.free();
                None
            }
        }
    }

    /// The exec has failed: undoes the changes.
    pub(super) fn put_back(self) {
        sys::close(self.fd);
        sys::set_mask(self.mask);
        self.bump.free();
        // The supervisor waits for the next program's hello.
        let open = sys::block(SignalSet::PROGRAM);
        let _ = session::ask(FromCaller::Hello);
        sys::set_mask(open);
    }
}

/// The agent's descriptor, from the supervisor. No snapshot is taken meanwhile.
fn fetch() -> Option<c_int> {
    let _conversation = Conversation::begin();
    match session::exchange(FromCaller::Exec) {
        Ok((ToCaller::Carry, Some(fd))) => Some(fd),
        _ => None,
    }
}

/// Writes the environment. `None` if there is no room for it.
fn write(bump: &mut Bump, environment: Strings, fd: c_int, mask: SignalSet) -> Option<Strings> {
    let fd = u64::from(fd.unsigned_abs());
    let settings = bump.next();
    let tunables = if session::asks_for_huge_pages() {
        tunables::add(texts_of(environment), |bytes| bump.put(bytes))?
    } else {
        0
    };
    bump.put(b"\0")?;
    let message = bump.next();
    Outgoing {
        preload_fd: fd,
        trigger: session::trigger(),
        mask,
        tunables,
        name: session::name(),
    }
    .write(bump)?;
    let preload = bump.next();
    write_preload(bump, environment, fd)?;
    bump.align();
    let array = bump.next();
    bump.pointer(message.cast())?;
    bump.pointer(preload.cast())?;
    if tunables > 0 {
        bump.pointer(settings.cast())?;
    }
    let mut is_replaced = tunables == 0;
    for_each(environment, |entry| {
        let text = text_of(entry);
        if text.starts_with(PRELOAD) {
            return Some(());
        }
        if !is_replaced && text.starts_with(tunables::VARIABLE) {
            is_replaced = true;
            return Some(());
        }
        bump.pointer(entry)
    })?;
    bump.pointer(ptr::null())?;
    Some(array.cast::<*const c_char>().cast_const())
}

/// LD_PRELOAD: the agent first, then the program's own.
fn write_preload(bump: &mut Bump, environment: Strings, fd: u64) -> Option<()> {
    bump.put(PRELOAD)?;
    bump.put(b"/proc/self/fd/")?;
    bump.number(fd, 10)?;
    for_each(environment, |entry| {
        if let Some(own) = text_of(entry).strip_prefix(PRELOAD)
            && !own.is_empty()
        {
            bump.put(b":")?;
            bump.put(own)?;
        }
        Some(())
    })?;
    bump.put(b"\0")
}
