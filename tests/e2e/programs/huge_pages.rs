//! Huge pages: glibc's heap gets them, invisibly, and a program that wants none has none.
//!
//! On a shared machine a test can't tell how fast a take is then. It can tell how much of the
//! heap is in huge pages.

use std::fs;
use std::path::Path;

use snapshot_tests::{Launch, PipedSession, binaries, outside};

/// A user's own setting, of the kind that is left alone.
const OWN: &str = "glibc.malloc.tcache_count=3";

/// Whether the kernel gives huge pages to those who ask, and to nobody else. Otherwise
/// the tests of memory say nothing.
fn only_on_request() -> bool {
    fs::read_to_string("/sys/kernel/mm/transparent_hugepage/enabled")
        .is_ok_and(|policy| policy.contains("[madvise]"))
}

/// The tool, with the machine's own settings out of the way.
fn clean(launch: Launch) -> Launch {
    launch
        .env_remove("GLIBC_TUNABLES")
        .env_remove("CARGO_SNAPSHOT_HUGE_PAGES")
}

fn heap() -> Launch {
    clean(Launch::guest_in_c("heap"))
}

/// How much of its memory is in huge pages, in MB.
fn huge_megabytes(session: &mut PipedSession) -> u64 {
    let pid = session.live_pid();
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).expect("it lives");
    let line = rollup
        .lines()
        .find_map(|line| line.strip_prefix("AnonHugePages:"))
        .expect("the kernel tells");
    let kilobytes = line.trim().trim_end_matches(" kB");
    kilobytes.parse::<u64>().expect("a number") >> 10
}

/// What it was started with, whatever it has made of that.
fn started_with(session: &mut PipedSession) -> String {
    let pid = session.live_pid();
    let environment = fs::read(format!("/proc/{pid}/environ")).expect("it lives");
    let environment = String::from_utf8(environment).expect("text");
    let mut entries = environment
        .split('\0')
        .skip_while(|entry| !entry.starts_with("GLIBC_TUNABLES="));
    let Some(entry) = entries.next() else {
        return "-".to_owned();
    };
    let value = entry.trim_start_matches("GLIBC_TUNABLES=");
    // While it reads them, glibc 2.36 cuts them apart where they lie.
    entries
        .take_while(|entry| entry.starts_with("glibc."))
        .fold(value.to_owned(), |all, entry| all + ":" + entry)
}

/// Asserts that the program's environment is the user's own, for it and its children.
fn sees(session: &mut PipedSession, own: &str) {
    assert_eq!(session.ask("env GLIBC_TUNABLES"), own);
    let printed = session.ask("run printenv GLIBC_TUNABLES");
    assert_eq!(printed, own, "a child's");
    // None but the user's may be there under another name.
    let named = session.ask("run env | grep -c -e hugetlb -e CARGO_SNAPSHOT_AGENT");
    assert_eq!(named, "0");
}

#[test]
fn the_heap_has_them_whichever_thread_fills_it() {
    // The main thread's heap is one, the others have heaps of 64 MB, and blocks of a
    // megabyte would be mappings of their own.
    for threads in [0, 2] {
        for block in [65_536, 1 << 20] {
            let fill = format!("fill {threads} 128 {block}");
            let mut session = heap().piped();
            session.ask(&fill);
            if only_on_request() {
                let huge = huge_megabytes(&mut session);
                assert!(huge >= 120, "{fill}: {huge} MB");

                let mut without = heap().flag("--huge-pages").flag("never").piped();
                without.ask(&fill);
                assert_eq!(huge_megabytes(&mut without), 0, "{fill}");
            }
        }
    }
}

#[test]
fn a_revert_brings_them_back_as_they_were() {
    let mut session = heap().piped();
    let blocks: u64 = session.ask("fill 2 64 65536").parse().expect("a number");
    session.take();
    assert_eq!(session.ask("write"), (2 * blocks).to_string());
    session.interrupt();
    assert_eq!(session.ask("sum"), blocks.to_string());
    // And a second time, from a heap whose huge pages are split.
    session.take();
    assert_eq!(session.ask("write"), (2 * blocks).to_string());
    session.interrupt();
    assert_eq!(session.ask("sum"), blocks.to_string());
    sees(&mut session, "-");
}

#[test]
fn neither_the_program_nor_its_children_see_it() {
    let mut session = heap().piped();
    let given = started_with(&mut session);
    assert!(given.contains("glibc.malloc.hugetlb=1"), "{given}");
    sees(&mut session, "-");
}

#[test]
fn what_the_user_has_set_stays_and_is_all_that_is_seen() {
    let mut session = heap().env("GLIBC_TUNABLES", OWN).piped();
    let given = started_with(&mut session);
    assert!(
        given.contains("hugetlb=1") && given.ends_with(OWN),
        "{given}"
    );
    sees(&mut session, OWN);

    let own = "glibc.malloc.top_pad=131072";
    let mut session = heap().env("GLIBC_TUNABLES", own).piped();
    let given = started_with(&mut session);
    assert_eq!(given.matches("top_pad").count(), 1, "{given}");
    sees(&mut session, own);

    let mut session = heap().env("MALLOC_TOP_PAD_", "131072").piped();
    let given = started_with(&mut session);
    assert!(!given.contains("top_pad"), "{given}");
    sees(&mut session, "-");
}

#[test]
fn a_user_who_has_refused_them_gets_none() {
    let refused = "glibc.malloc.hugetlb=0";
    let mut session = heap().env("GLIBC_TUNABLES", refused).piped();
    session.ask("fill 2 64 65536");
    assert_eq!(started_with(&mut session), refused);
    if only_on_request() {
        assert_eq!(huge_megabytes(&mut session), 0);
    }

    let by_flag = heap().flag("--huge-pages").flag("never");
    let by_variable = heap().env("CARGO_SNAPSHOT_HUGE_PAGES", "never");
    for launch in [by_flag, by_variable] {
        let mut session = launch.env("GLIBC_TUNABLES", OWN).piped();
        assert_eq!(started_with(&mut session), OWN);
        sees(&mut session, OWN);
    }
}

#[test]
fn the_next_program_has_them_too() {
    let mut session = heap().env("GLIBC_TUNABLES", OWN).piped();
    for name in ["second", "third"] {
        session.send(&format!("become {name}"));
        session.next_line("the next program", |line| line == format!("ready {name}"));
        let given = started_with(&mut session);
        assert!(
            given.contains("hugetlb=1") && given.ends_with(OWN),
            "{given}"
        );
        assert_eq!(given.matches("hugetlb").count(), 1, "{given}");
        sees(&mut session, OWN);
    }
    session.ask("fill 2 64 65536");
    if only_on_request() {
        assert!(huge_megabytes(&mut session) >= 60);
    }
    session.take();
    session.interrupt();
    sees(&mut session, OWN);
}

#[test]
fn the_next_program_has_none_where_the_first_had_none() {
    let mut session = heap().flag("--huge-pages=never").piped();
    session.send("become second");
    session.next_line("the next program", |line| line == "ready second");
    assert_eq!(started_with(&mut session), "-");
    sees(&mut session, "-");
}

#[test]
fn a_script_of_a_shell_passes_them_on() {
    let place = snapshot_tests::Place::new();
    let program = binaries::guest_in_c("heap", &place.work());
    let script = format!("exec {} script", program.display());
    let mut session = clean(Launch::program("sh").args(["-c", &script]).place(&place)).piped();
    session.next_line("the program", |line| line == "ready script");
    let given = started_with(&mut session);
    assert!(given.contains("hugetlb=1"), "{given}");
    sees(&mut session, "-");
}

/// Whether this program is started with any settings.
fn is_told(launch: Launch) -> bool {
    let mut session = clean(launch).piped();
    session.next("started");
    started_with(&mut session) != "-"
}

#[test]
fn a_program_with_an_allocator_of_its_own_is_left_alone() {
    // The control: what is found below is not found everywhere.
    assert!(is_told(Launch::commander()));
    assert!(!is_told(Launch::guest("jemalloc_blocks")), "jemalloc");
    assert!(!is_told(Launch::guest("mimalloc_blocks")), "mimalloc");
    if let Some(redis) = outside::find("redis-server") {
        // One that listens nowhere ends.
        let listen = ["--port", "0", "--unixsocket", "redis.sock"];
        let launch = Launch::program(redis).args(listen).args(["--save", ""]);
        assert!(!is_told(launch), "Debian's redis needs libjemalloc");
    }

    let place = snapshot_tests::Place::new();
    let own = "#include <stddef.h>\n#include <unistd.h>\n\
        static char memory[1 << 20];\nstatic size_t used;\n\
        void *malloc(size_t size) { void *p = memory + used; used += (size + 15) & -16; return p; }\n\
        void *calloc(size_t count, size_t size) { return malloc(count * size); }\n\
        void *realloc(void *old, size_t size) { (void)old; (void)size; return NULL; }\n\
        void free(void *p) { (void)p; }\n\
        int main(void) { volatile char *p = malloc(1); *p = 1; for (;;) pause(); }\n";
    let program = binaries::compile_c(own, &["-fno-builtin"], place.root());
    let session = Launch::program(&program).place(&place);
    assert!(!is_told(session), "a malloc of its own");
}

#[test]
fn a_preloaded_allocator_counts_as_the_programs_own() {
    let place = snapshot_tests::Place::new();
    let library = |name: &str, source: &str| {
        let built = binaries::compile_c(source, &["-shared", "-fPIC"], place.root());
        let library = place.root().join(name);
        fs::rename(built, &library).expect("the place is ours");
        library
    };
    let other = library("libother.so", "int other;");
    let named = library("libtcmalloc_minimal.so.4", "int other;");
    let told = |library: &Path| {
        let preload = library.to_str().expect("text");
        is_told(Launch::commander().place(&place).env("LD_PRELOAD", preload))
    };
    assert!(told(&other));
    assert!(!told(&named));
}

#[test]
fn a_limit_on_addresses_or_data_is_left_to_the_program() {
    let place = snapshot_tests::Place::new();
    let program = binaries::guest_in_c("heap", &place.work());
    for limit in ["-d", "-v"] {
        let launcher = &binaries::tools().snapshot_launch;
        let script = format!(
            "ulimit {limit} 8000000 && exec {} -- {}",
            launcher.display(),
            program.display()
        );
        let launch = Launch::bare("sh").args(["-c", &script]).place(&place);
        let mut session = clean(launch).piped();
        session.next("started");
        assert_eq!(started_with(&mut session), "-", "ulimit {limit}");
    }
}
