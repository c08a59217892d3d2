//! Memory that the program keeps from copies (`MADV_DONTFORK`): a snapshot must have it.
//!
//! Nothing tells cheaply whether there is any, but a copy without it has a smaller address
//! space. So the sizes are compared after each split. If they differ the areas are searched,
//! and opened to copies around the next split.
//!
//! Context: AS-SAFE. Only the thread that has the turn comes here.
#![expect(unsafe_code, reason = "advises the kernel on the program's memory")]

use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use crate::kernel::{proc_text, procfs};
use crate::sys::{self, Errno};

const MOST: usize = 256;

/// The areas known so far; a start of 0 is an empty place.
static STARTS: [AtomicUsize; MOST] = [const { AtomicUsize::new(0) }; MOST];
static ENDS: [AtomicUsize; MOST] = [const { AtomicUsize::new(0) }; MOST];
/// Pages that no copy can have: a device's mappings.
static CLOSED_PAGES: AtomicU64 = AtomicU64::new(0);

const PAGE: u64 = 4096;

fn for_each_area(mut visit: impl FnMut(usize, usize) -> bool) {
    for (start, end) in STARTS.iter().zip(&ENDS) {
        let (from, to) = (start.load(Ordering::Relaxed), end.load(Ordering::Relaxed));
        // An area that is gone or has changed is forgotten.
        if from != 0 && !visit(from, to) {
            start.store(0, Ordering::Relaxed);
        }
    }
}

fn advise(start: usize, end: usize, advice: i32) -> bool {
    // SAFETY: neither advice changes what is in the memory.
    unsafe { sys::advise(start, end - start, advice) }.is_ok()
}

fn own_pages() -> Result<u64, Errno> {
    let mut buffer = [0; 128];
    let text = procfs::read(c"/proc/thread-self/statm", &mut buffer)?;
    proc_text::address_space_pages(text).ok_or(procfs::SILENT)
}

/// Before the split: opens the known areas to the copy. Returns the size of the address space,
/// which must not change until [`is_whole`] has run.
///
/// # Errors
/// If the kernel doesn't give its size.
pub(crate) fn open() -> Result<u64, Errno> {
    for_each_area(|start, end| advise(start, end, libc::MADV_DOFORK));
    own_pages()
}

/// After the split, and in a revived copy: closes the areas, as the program had them.
pub(crate) fn close() {
    for_each_area(|start, end| advise(start, end, libc::MADV_DONTFORK));
}

/// In the copy, before it maps anything of its own: whether it has all memory, by the number of
/// pages. A later look could count its own mappings instead of what it lacks.
///
/// # Errors
/// If the kernel doesn't give its size: then the copy can't be trusted.
pub(crate) fn is_whole(pages: u64) -> Result<bool, Errno> {
    Ok(own_pages()? + CLOSED_PAGES.load(Ordering::Relaxed) >= pages)
}

/// Whether this copy of the calling process has as many pages.
///
/// # Errors
/// If the kernel doesn't give the sizes.
pub(crate) fn has_as_much(copy: i32) -> Result<bool, Errno> {
    let mut buffer = [0; 128];
    let text = procfs::of_process(copy, b"/statm\0", |path| {
        procfs::read(path, &mut buffer).ok()
    });
    let pages = text.and_then(proc_text::address_space_pages);
    Ok(pages.ok_or(procfs::SILENT)? == own_pages()?)
}

/// In the original, when a copy lacks memory: finds the areas.
///
/// # Errors
/// ENOSPC if there are too many areas, and any error of reading them.
pub(crate) fn look() -> Result<(), Errno> {
    let mut mapping = None;
    let mut outcome = Ok(());
    let mut closed = 0;
    procfs::for_each_line(c"/proc/thread-self/smaps", |line| {
        if let Some(begun) = proc_text::mapping(line) {
            mapping = Some(begun);
        } else if proc_text::has_flag(line, b"dc")
            && let Some(mapping) = mapping
        {
            if !advise(mapping.start, mapping.end, libc::MADV_DOFORK) {
                closed += (mapping.end - mapping.start) as u64 / PAGE;
            } else if keep_in_mind(mapping.start, mapping.end).is_err() {
                advise(mapping.start, mapping.end, libc::MADV_DONTFORK);
                outcome = Err(Errno(libc::ENOSPC));
            }
        }
    })?;
    CLOSED_PAGES.store(closed, Ordering::Relaxed);
    close();
    outcome
}

fn keep_in_mind(start: usize, end: usize) -> Result<(), Errno> {
    for (known_start, known_end) in STARTS.iter().zip(&ENDS) {
        let known = known_start.load(Ordering::Relaxed);
        if known == start || known == 0 {
            known_start.store(start, Ordering::Relaxed);
            known_end.store(end, Ordering::Relaxed);
            return Ok(());
        }
    }
    Err(Errno(libc::ENOSPC))
}
