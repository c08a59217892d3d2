//! Each kind of change comes back by itself, so that a failure names the kind.
//!
//! A test makes some files, takes a snapshot, has the guest change them in one way, kills the
//! branch, and compares the tree and all descriptors with those at the take.

use snapshot_tests::{Ending, Isolation, Launch, outside};

use crate::guest::Guest;

/// Does the operations `before` the take, and those of the `branch` behind it.
fn comes_back(before: &[&str], branch: &[&str]) {
    let mut guest = Guest::launch();
    for operation in before {
        guest.does(operation);
    }
    guest.goes_and_comes_back(branch, Ending::Kill);
}

macro_rules! kinds {
    ($($(#[$attribute:meta])* $name:ident: $before:expr => $branch:expr;)+) => {
        $(
            $(#[$attribute])*
            #[test]
            fn $name() {
                comes_back(&$before, &$branch);
            }
        )+
    };
}

/// The same for what only root may do.
macro_rules! kinds_of_root {
    ($($name:ident: $before:expr => $branch:expr;)+) => {
        $(
            #[test]
            fn $name() {
                if outside::as_root() {
                    comes_back(&$before, &$branch);
                }
            }
        )+
    };
}

// Content.
kinds! {
    content_rewritten: ["put ash 9000 1"] => ["put ash 9000 2"];
    content_overwritten_in_the_middle: ["put ash 50000 1"] => ["over ash 20000 100 2"];
    content_appended: ["put ash 100 1"] => ["append ash 100 2"];
    content_appended_to_nothing: ["touch ash"] => ["append ash 10 2"];
    content_truncated: ["put ash 9000 1"] => ["truncate ash 10"];
    content_truncated_to_nothing: ["put ash 9000 1"] => ["put ash 0 1"];
    content_made_longer: ["put ash 10 1"] => ["truncate ash 9000"];
    content_with_a_new_hole: ["put ash 20000 1"] => ["allocate ash hole 4096 8192"];
    content_zeroed: ["put ash 20000 1"] => ["allocate ash zero 100 5000"];
    content_allocated: ["put ash 10 1"] => ["allocate ash more 0 20000"];
    content_of_a_sparse_file: ["touch ash", "truncate ash 1000000"] => ["over ash 500000 10 1"];
    content_through_a_map: ["put ash 9000 1"] => ["map ash 100 50 2"];
    content_spliced: ["put ash 10 1"] => ["splice ash 4000 2"];
    content_by_a_raw_open: ["put ash 9000 1"] => ["raw-open ash 100 2"];
    content_by_creat: ["put ash.raw 9000 1"] => ["raw-creat ash 100 2"];
    content_by_openat2: ["put ash 9000 1"] => ["raw-beneath ash 100 2"];
    content_by_another_name: ["put ash 9000 1", "link ash birch"] => ["put birch 10 2"];
    content_through_a_symlink: ["put ash 9000 1", "symlink ash birch"] => ["put birch 10 2"];
    content_below_a_held_directory: ["mkdir ash 755", "put ash/fir 9 1", "hold-directory 0 ash"]
        => ["put @0/fir 10 2"];
    content_of_a_large_file: ["put ash 9000000 1"] => ["over ash 5000000 10 2", "append ash 5 3"];
}

// Names.
kinds! {
    file_made: ["mkdir ash 755"] => ["create ash/birch 100 1"];
    file_removed: ["put ash 100 1"] => ["unlink ash"];
    file_removed_and_made_again: ["put ash 100 1"] => ["unlink ash", "put ash 100 1"];
    file_renamed: ["put ash 100 1"] => ["rename ash birch"];
    file_renamed_over_another: ["put ash 100 1", "put birch 200 2"] => ["rename ash birch"];
    file_renamed_over_its_own_link: ["put ash 100 1", "link ash birch"]
        => ["rename ash birch", "unlink ash"];
    file_renamed_into_a_directory: ["put ash 100 1", "mkdir fir 755"] => ["rename ash fir/ash"];
    files_exchanged: ["put ash 100 1", "put birch 200 2"] => ["rename-exchange ash birch"];
    file_and_directory_exchanged: ["put ash 100 1", "mkdir fir 755", "put fir/oak 1 1"]
        => ["rename-exchange ash fir"];
    file_renamed_without_replacing: ["put ash 100 1"] => ["rename-noreplace ash birch"];
    file_renamed_and_back: ["put ash 100 1"] => ["rename ash birch", "rename birch ash",
        "append ash 1 1"];
    names_rotated: ["put ash 1 1", "put birch 2 2"]
        => ["rename ash fir", "rename birch ash", "rename fir birch"];
    directory_made: [] => ["mkdir ash 755"];
    directory_removed: ["mkdir ash 700"] => ["rmdir ash"];
    directory_removed_and_made_again: ["mkdir ash 700"] => ["rmdir ash", "mkdir ash 755"];
    directory_renamed: ["mkdir ash 755", "put ash/oak 1 1"] => ["rename ash birch"];
    directory_renamed_over_an_empty_one: ["mkdir ash 755", "put ash/oak 1 1", "mkdir birch 700"]
        => ["rename ash birch"];
    directory_moved_and_changed: ["mkdir ash 755", "put ash/oak 1 1", "mkdir birch 755"]
        => ["rename ash birch/ash", "put birch/ash/oak 2 2", "unlink birch/ash/oak"];
    directory_replaced_by_a_file: ["mkdir ash 755"] => ["rmdir ash", "put ash 1 1"];
    file_replaced_by_a_directory: ["put ash 1 1"]
        => ["unlink ash", "mkdir ash 755", "put ash/oak 1 1"];
    tree_made: ["mkdir ash 755"] => ["deep ash 20"];
    tree_removed: ["deep ash 20"] => ["clear ash"];
    tree_moved_and_removed: ["deep ash 20"] => ["rename ash birch", "clear birch"];
    link_made: ["put ash 1 1"] => ["link ash birch"];
    link_removed: ["put ash 1 1", "link ash birch"] => ["unlink ash"];
    all_links_removed: ["put ash 1 1", "link ash birch"] => ["unlink ash", "unlink birch"];
    link_made_by_the_target_of_a_symlink: ["put ash 1 1", "symlink ash birch"]
        => ["link-target birch fir"];
    link_of_a_symlink_made: ["symlink nowhere ash"] => ["link ash birch"];
    symlink_made: [] => ["symlink nowhere ash"];
    symlink_removed: ["symlink nowhere ash"] => ["unlink ash"];
    symlink_replaced: ["symlink nowhere ash"] => ["unlink ash", "symlink elsewhere ash"];
    fifo_made: [] => ["fifo ash 644"];
    fifo_removed: ["fifo ash 600"] => ["unlink ash"];
    socket_made: [] => ["socket ash"];
    socket_removed: ["socket ash"] => ["unlink ash"];
    name_as_long_as_may_be: ["put ash 1 1"] => [LONG];
    name_of_odd_bytes: ["put two%20words 1 1"] => ["rename two%20words %0a%25%ff"];
    path_with_dots_and_slashes: ["mkdir ash 755", "put ash/oak 1 1"]
        => ["put ./ash//../ash/./oak 5 2", "mkdir ash/fir/ 755"];
    path_relative_to_a_new_directory: ["mkdir ash 755", "put ash/oak 1 1"]
        => ["chdir ash", "put oak 5 2"];
    path_through_a_symlink: ["mkdir ash 755", "put ash/oak 1 1", "symlink ash birch"]
        => ["unlink birch/oak", "put birch/fir 5 2"];
    path_of_a_dangling_symlink: ["symlink oak ash"] => ["put ash 5 2"];
    names_by_raw_calls: ["put ash 1 1", "mkdir fir 755"]
        => ["raw-link ash oak", "raw-rename ash birch", "raw-unlink birch", "raw-rmdir fir",
            "raw-symlink birch yew"];
    names_by_a_shell: ["put ash 1 1"] => ["shell ash"];
}

/// A rename to a name of 255 bytes.
const LONG: &str = "rename ash \
    longlonglonglonglonglonglonglonglonglonglonglonglonglonglonglong\
    longlonglonglonglonglonglonglonglonglonglonglonglonglonglonglong\
    longlonglonglonglonglonglonglonglonglonglonglonglonglonglonglong\
    longlonglonglonglonglonglonglonglonglonglonglonglonglonglonglon";

// Properties.
kinds! {
    mode_changed: ["put ash 1 1"] => ["chmod ash 600"];
    mode_changed_by_a_descriptor: ["put ash 1 1"] => ["fchmod ash 4711"];
    mode_of_a_directory: ["mkdir ash 755"] => ["chmod ash 1700"];
    mode_of_a_directory_taken_from_its_owner: ["mkdir ash 755", "put ash/oak 1 1"]
        => ["unlink ash/oak", "chmod ash 000"];
    mode_through_a_symlink: ["put ash 1 1", "symlink ash birch"] => ["chmod birch 600"];
    times_changed: ["put ash 1 1"] => ["times ash 1000000000 5"];
    times_of_a_directory: ["mkdir ash 755"] => ["times ash 1000000000 5"];
    times_of_a_symlink: ["symlink nowhere ash"] => ["ltimes ash 1000000000 5"];
    attribute_made: ["put ash 1 1"] => ["attribute ash user.first 10 1"];
    attribute_changed: ["put ash 1 1", "attribute ash user.first 10 1"]
        => ["attribute ash user.first 20 2"];
    attribute_removed: ["put ash 1 1", "attribute ash user.first 10 1"]
        => ["remove-attribute ash user.first"];
    attribute_of_a_directory: ["mkdir ash 755"] => ["attribute ash user.first 10 1"];
    access_list_made: ["put ash 1 1"] => ["acl ash access 23456"];
    access_list_changed: ["put ash 1 1", "acl ash access 23456"] => ["acl ash access 1"];
    default_access_list: ["mkdir ash 755"] => ["acl ash default 1", "put ash/oak 1 1"];
}

kinds_of_root! {
    owner_changed: ["put ash 1 1"] => ["chown ash 23456 0"];
    owner_of_a_set_uid_file: ["put ash 1 1", "chmod ash 4755"] => ["chown ash 23456 23456"];
    owner_of_a_symlink: ["symlink nowhere ash"] => ["lchown ash 23456 0"];
    attribute_of_a_symlink: ["symlink nowhere ash"] => ["lattribute ash trusted.link 9 1"];
    device_made: [] => ["device ash character 1 3"];
    device_removed: ["device ash block 240 3"] => ["unlink ash"];
    whiteout_left_by_a_rename: ["put ash 1 1"] => ["rename-whiteout ash birch"];
    whiteout_left_by_a_rename_over_a_directory: ["mkdir ash 755", "put ash/oak 1 1", "mkdir birch 700"]
        => ["rename-whiteout ash birch"];
}

// Files that are held open across the take.
kinds! {
    held_file_written: ["put ash 100 1", "hold 0 ash b"] => ["held-write 0 50 2"];
    held_file_overwritten: ["put ash 9000 1", "hold 0 ash w"] => ["held-over 0 4000 50 2"];
    held_file_appended: ["put ash 100 1", "hold 0 ash wa"] => ["held-write 0 5000 2"];
    held_file_truncated: ["put ash 9000 1", "hold 0 ash b"] => ["held-truncate 0 10"];
    held_file_moved_in: ["put ash 9000 1", "hold 0 ash r"] => ["held-seek 0 5"];
    held_file_through_a_map: ["put ash 9000 1", "hold 0 ash b"] => ["held-map 0 5 100 2"];
    held_file_spliced: ["put ash 100 1", "hold 0 ash b"] => ["held-splice 0 3000 2"];
    held_file_sent_into: ["put ash 100 1", "hold 0 ash b", "put fir 500 2", "hold 1 fir r"]
        => ["held-send 1 0 400"];
    held_file_copied_into: ["put ash 100 1", "hold 0 ash b", "put fir 500 2", "hold 1 fir r"]
        => ["held-copy 1 0 400"];
    held_fifo_written: ["fifo ash 644", "hold 0 ash b", "held-write 0 100 1"]
        => ["held-write 0 50 2"];
    held_file_removed: ["put ash 100 1", "hold 0 ash b"] => ["unlink ash"];
    held_file_removed_and_written: ["put ash 100 1", "hold 0 ash b"]
        => ["unlink ash", "held-write 0 10 2"];
    held_file_renamed_over: ["put ash 100 1", "hold 0 ash b", "put fir 1 1"]
        => ["rename fir ash", "held-write 0 10 2"];
    held_file_closed: ["put ash 100 1", "hold 0 ash b"] => ["held-write 0 10 2", "release 0"];
    held_file_closed_and_removed: ["put ash 100 1", "hold 0 ash b"] => ["release 0", "unlink ash"];
    held_file_without_a_name: ["put ash 100 1", "hold 0 ash b", "unlink ash"]
        => ["held-over 0 5 10 2"];
    held_file_without_a_name_truncated: ["put ash 100 1", "hold 0 ash b", "unlink ash"]
        => ["held-truncate 0 0"];
    held_file_that_starts_to_append: ["put ash 100 1", "hold 0 ash b"]
        => ["held-append 0 on", "held-write 0 10 2"];
    held_file_that_stops_appending: ["put ash 100 1", "hold 0 ash wa"]
        => ["held-append 0 off", "held-over 0 0 10 2", "held-seek 0 1", "held-write 0 10 2"];
    held_file_opened_once_more: ["put ash 100 1", "hold 0 ash r"] => ["held-reopen 0 10 2"];
    held_file_changed_in_mode: ["put ash 100 1", "hold 0 ash r"] => ["held-chmod 0 600"];
    held_file_changed_in_time: ["put ash 100 1", "hold 0 ash w"] => ["held-times 0 1000000000 5"];
    held_file_changed_in_attributes: ["put ash 100 1", "hold 0 ash w"]
        => ["held-attribute 0 10 2"];
    temporary_file_written: ["hold-temporary 0 .", "held-write 0 100 1"]
        => ["held-over 0 10 10 2"];
    temporary_file_named: ["hold-temporary 0 .", "held-write 0 100 1"] => ["held-link 0 ash"];
    temporary_file_made: [] => ["hold-temporary 0 .", "held-write 0 100 1", "held-link 0 ash"];
    held_directory_emptied: ["mkdir ash 755", "put ash/oak 1 1", "hold-directory 0 ash"]
        => ["unlink @0/oak", "rmdir ash"];
    working_directory_removed: ["mkdir ash 755", "chdir ash"] => ["chdir base", "rmdir ash"];
}

/// The name of the file system's call matters as little as who makes it.
#[test]
fn what_a_child_does_comes_back() {
    let mut guest = Guest::launch();
    guest.does("put ash 100 1");
    guest.does("hold 0 ash b");
    let then = guest.picture();
    guest.session.take();
    let tag = guest.burst(50, 7, "c");
    guest.finish(&tag);
    guest.assert_changed(&then);
    guest.session.end_branch(Ending::Kill);
    guest.await_quiet();
    guest.assert_same("after the revert", &then);
}

#[test]
fn nothing_changed_is_nothing_to_bring_back() {
    let mut guest = Guest::launch();
    guest.does("put ash 100 1");
    guest.does("hold 0 ash b");
    let then = guest.picture();
    guest.session.take();
    guest.session.end_branch(Ending::Kill);
    guest.await_quiet();
    guest.assert_same("after the revert", &then);
}

#[test]
fn a_failed_operation_leaves_nothing_to_bring_back() {
    let mut guest = Guest::launch();
    guest.does("put ash 100 1");
    guest.does("mkdir fir 755");
    guest.does("put fir/oak 1 1");
    let then = guest.picture();
    guest.session.take();
    for (operation, error) in [
        ("create ash 1 1", "EEXIST"),
        ("rename ash fir", "EISDIR"),
        ("rename fir ash", "ENOTDIR"),
        ("rename fir fir/oak/ash", "ENOTDIR"),
        ("rename fir fir/ash", "EINVAL"),
        ("rename-noreplace ash fir", "EEXIST"),
        ("rename missing ash", "ENOENT"),
        ("rmdir fir", "ENOTEMPTY"),
        ("rmdir ash", "ENOTDIR"),
        ("unlink fir", "EISDIR"),
        ("unlink missing", "ENOENT"),
        ("unlink ash/", "ENOTDIR"),
        ("mkdir fir 755", "EEXIST"),
        ("mkdir ash/oak 755", "ENOTDIR"),
        ("link fir oak", "EPERM"),
        ("link ash fir", "EEXIST"),
        ("put fir 1 1", "EISDIR"),
        ("put missing/oak 1 1", "ENOENT"),
        ("put ash/ 1 1", "EISDIR"),
        ("truncate fir 1", "EISDIR"),
        ("symlink x ash", "EEXIST"),
        ("fifo ash 600", "EEXIST"),
        ("chmod missing 600", "ENOENT"),
        ("remove-attribute ash user.missing", "ENODATA"),
    ] {
        assert_eq!(guest.fails(operation), error, "{operation}");
    }
    guest.assert_same("nothing has succeeded", &then);
    guest.session.end_branch(Ending::Kill);
    guest.await_quiet();
    guest.assert_same("after the revert", &then);
}

#[test]
fn every_way_for_a_branch_to_end_brings_files_back() {
    let endings = [
        Ending::Kill,
        Ending::Command,
        Ending::Interrupt,
        Ending::Dies("abort", snapshot_tests::Signal::SIGABRT),
        Ending::Exits("exit", 3),
    ];
    let mut guest = Guest::launch();
    guest.does("put ash 100 1");
    for ending in endings {
        guest.goes_and_comes_back(&["put ash 50 2", "create birch 1 1"], ending);
    }
}

#[test]
fn a_commit_keeps_what_the_branch_did() {
    let mut guest = Guest::launch();
    guest.does("put ash 100 1");
    guest.does("put birch 100 1");
    guest.session.take();
    guest.does("put ash 50 2");
    guest.session.take();
    guest.does("unlink birch");
    let now = guest.picture();
    guest.session.commit();
    guest.assert_same("after the commit", &now);
    // Nothing of what the commit has forgotten comes back later.
    guest.goes_and_comes_back(&["put ash 10 3"], Ending::Kill);
    guest.assert_same("after another branch", &now);
}

#[test]
fn each_level_comes_back_and_a_dropped_one_hands_its_changes_down() {
    let mut guest = Guest::launch();
    guest.does("put ash 100 1");
    guest.does("put birch 100 1");
    let pictures: Vec<_> = [
        "put ash 50 2",
        "unlink birch",
        "rename ash birch",
        "put ash 9 9",
    ]
    .into_iter()
    .map(|operation| {
        let picture = guest.picture();
        let id = guest.session.take().number("id");
        guest.does(operation);
        (id, picture)
    })
    .collect();
    let (dropped, _) = &pictures[1];
    let output = guest.session.command("drop", &[&dropped.to_string()]);
    assert!(output.success(), "{output:?}");
    for at in [3, 2, 0] {
        let (id, picture) = &pictures[at];
        let output = guest.session.command("revert", &[&id.to_string()]);
        assert!(output.success(), "{output:?}");
        guest.await_quiet();
        guest.assert_same(&format!("after the revert to #{id}"), picture);
    }
    guest.await_own_links();
}

#[test]
fn a_kept_snapshot_brings_files_back_each_time() {
    let mut guest = Guest::launch();
    guest.does("put ash 100 1");
    let then = guest.picture();
    let id = guest.session.take().number("id").to_string();
    for number in 0..5 {
        guest.does(&format!("put ash {number} 2"));
        guest.does("shell birch");
        let output = guest.session.command("revert", &[&id, "--keep"]);
        assert!(output.success(), "{output:?}");
        guest.await_quiet();
        guest.assert_same("after a kept revert", &then);
    }
}

/// Nobody is asked about a write to a file that is open already. The copy can't open this one
/// again, so it goes on with the same.
#[test]
fn a_kept_snapshot_brings_held_files_back_each_time() {
    let launch = Launch::guest("file_storm").as_user(Isolation::Allowed);
    let mut guest = Guest::start(launch, &[]);
    guest.does("put ash 9000 1");
    guest.does("hold 0 ash b");
    guest.does("chmod ash 400");
    let then = guest.picture();
    let id = guest.session.take().number("id").to_string();
    for number in 0..3 {
        guest.does(&format!("held-over 0 {number}00 50 2"));
        let output = guest.session.command("revert", &[&id, "--keep"]);
        assert!(output.success(), "{output:?}");
        guest.await_quiet();
        guest.assert_same("after a kept revert", &then);
    }
}
