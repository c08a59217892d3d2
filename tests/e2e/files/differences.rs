//! `cargo snapshot diff`: which files differ between two moments.

use std::collections::BTreeMap;

use snapshot_tests::{Event, Launch, PipedSession};

/// A shell under the tool, in the place's work directory.
fn shell() -> PipedSession {
    let mut session = Launch::program("/bin/sh").piped();
    session.next("started");
    session
}

fn does(session: &mut PipedSession, script: &str) {
    session.send(&format!("{script}\necho ok"));
    session.next_line(script, |line| line == "ok");
}

/// The answer in JSON, and each path below the work directory with what happened to it.
fn diff(session: &mut PipedSession, arguments: &[&str]) -> (Event, BTreeMap<String, Event>) {
    let work = session.place().work();
    let output = session.command("diff", &[&["--json"], arguments].concat());
    assert!(output.success(), "{output:?}");
    let answer = Event::parse(output.stdout.trim());
    let below = |path: &str| {
        let work = work.to_str().expect("it is text");
        let path = path.strip_prefix(work).unwrap_or(path);
        path.trim_start_matches('/').to_owned()
    };
    let changes = answer.list("changes");
    let by_path = changes
        .into_iter()
        .map(|change| (below(change.text("path")), change))
        .collect();
    (answer, by_path)
}

fn kinds(changes: &BTreeMap<String, Event>) -> Vec<(&str, &str)> {
    changes
        .iter()
        .map(|(path, change)| (path.as_str(), change.text("change")))
        .collect()
}

#[test]
fn each_kind_of_change_is_listed() {
    let mut session = shell();
    does(
        &mut session,
        "echo one >rewritten; echo 1 >appended; echo x >removed; echo y >renamed; echo z >mode
         echo same >same; echo old >replaced; mkdir -p kept; echo in >kept/in; ln -s here link
         chmod 644 mode; echo open >opened; echo bye >bye",
    );
    session.take();
    let (_, none) = diff(&mut session, &[]);
    assert!(none.is_empty(), "{none:?}");
    does(
        &mut session,
        "echo twelve >rewritten; echo 2 >>appended; rm removed; mv renamed moved; chmod 755 mode
         echo same >same; echo newer >new; mv new replaced; mkdir -p made/below; echo f >made/below/f
         echo deep >kept/in; : >>opened; ln -sf there link; echo t >t; rm t; mv bye kept/bye",
    );
    let (answer, changes) = diff(&mut session, &[]);
    assert_eq!(
        kinds(&changes),
        [
            ("appended", "changed"),
            ("kept/bye", "renamed"),
            ("kept/in", "changed"),
            ("link", "changed"),
            ("made", "added"),
            ("made/below", "added"),
            ("made/below/f", "added"),
            ("mode", "changed"),
            ("moved", "renamed"),
            ("removed", "removed"),
            ("replaced", "changed"),
            ("rewritten", "changed"),
        ],
        "{answer}"
    );
    let rewritten = &changes["rewritten"];
    assert_eq!(rewritten.number("size_before"), 4);
    assert_eq!(rewritten.number("size_now"), 7);
    let mode = &changes["mode"];
    assert_eq!(mode.text("mode_before"), "100644");
    assert_eq!(mode.text("mode_now"), "100755");
    assert!(changes["moved"].text("renamed_from").ends_with("/renamed"));
    assert!(changes["removed"].is_null("size_now"));
    assert!(changes["made"].is_null("mode_before"));
    let shown = session.command("diff", &[]);
    assert!(
        shown.stdout.contains("rewritten  (4 B -> 7 B)\n"),
        "{shown:?}"
    );
}

#[test]
fn any_two_moments_can_be_compared() {
    let mut session = shell();
    does(&mut session, "echo 1 >a; echo 1 >b; echo 1 >c");
    session.take();
    does(&mut session, "echo 22 >a; rm b; mkdir d; echo new >d/e");
    session.take();
    does(
        &mut session,
        "echo 333 >a; echo 1 >b; echo later >d/f; echo more >>d/e; rm c",
    );
    let (_, first) = diff(&mut session, &["1", "2"]);
    assert_eq!(
        kinds(&first),
        [
            ("a", "changed"),
            ("b", "removed"),
            ("d", "added"),
            ("d/e", "added")
        ]
    );
    assert_eq!(first["a"].number("size_now"), 3);
    assert_eq!(first["d/e"].number("size_now"), 4);
    let (_, second) = diff(&mut session, &["2"]);
    assert_eq!(
        kinds(&second),
        [
            ("a", "changed"),
            ("b", "added"),
            ("c", "removed"),
            ("d/e", "changed"),
            ("d/f", "added")
        ]
    );
    let (_, both) = diff(&mut session, &["1"]);
    assert_eq!(
        kinds(&both),
        [
            ("a", "changed"),
            ("c", "removed"),
            ("d", "added"),
            ("d/e", "added"),
            ("d/f", "added")
        ]
    );
    for (arguments, cause) in [
        (["2", "1"], "#2 is the later one"),
        (["7", "8"], "there is no #7"),
    ] {
        let refused = session.command("diff", &arguments);
        assert_eq!(refused.status.code(), Some(1), "{refused:?}");
        assert!(refused.stderr.contains(cause), "{refused:?}");
    }
}

#[test]
fn a_patch_shows_texts_and_names_what_is_none() {
    let mut session = shell();
    does(
        &mut session,
        "printf 'one\\ntwo\\n' >text; printf 'a\\0b' >binary; echo x >appended",
    );
    session.take();
    does(
        &mut session,
        "printf 'one\\n2\\n' >text; printf 'a\\0c' >binary; echo y >>appended; echo n >new",
    );
    let shown = session.command("diff", &["--patch"]);
    for part in [
        "/text\n@@ -1,2 +1,2 @@\n one\n-two\n+2\n",
        "/binary  (3 B)\n  binary\n",
        "/appended\n@@ -1 +1,2 @@\n x\n+y\n",
        "--- /dev/null\n+++ ",
    ] {
        assert!(shown.stdout.contains(part), "{part}: {}", shown.stdout);
    }
}

#[test]
fn without_files_or_snapshots_it_says_why_not() {
    let mut session = shell();
    let refused = session.command("diff", &[]);
    assert!(
        refused.stderr.contains("there is no snapshot"),
        "{refused:?}"
    );
    let mut session = Launch::program("/bin/sh").flag("--no-files").piped();
    session.next("started");
    session.take();
    let refused = session.command("diff", &[]);
    assert!(
        refused
            .stderr
            .contains("no files come back in this session"),
        "{refused:?}"
    );
}
