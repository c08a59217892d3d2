//! Counts in words: `1 thread`, `3 processes`, `2 areas of shared memory`.
//!
//! Pure. Used for every count in a message.

/// `1 thread`, `2 threads`, `3 processes`, `4 children`.
pub fn counted(count: usize, what: &str) -> String {
    match count {
        1 => format!("1 {what}"),
        _ => format!("{count} {}", plural(what)),
    }
}

/// The plural of a noun, of the noun before a preposition, or of each noun in a list.
fn plural(what: &str) -> String {
    if let Some((first, last)) = what.split_once(" or ") {
        let list: Vec<String> = first.split(", ").map(plural).collect();
        return format!("{} or {}", list.join(", "), plural(last));
    }
    for preposition in [" of ", " on ", " with ", " that "] {
        if let Some((noun, rest)) = what.split_once(preposition) {
            return format!("{}{preposition}{rest}", plural(noun));
        }
    }
    match what {
        "child" => return "children".to_owned(),
        "mutex" => return "mutexes".to_owned(),
        _ => {}
    }
    if let Some(stem) = what.strip_suffix('y')
        && !stem.ends_with(['a', 'e', 'o', 'u'])
    {
        return format!("{stem}ies");
    }
    match what.ends_with("s") || what.ends_with("x") || what.ends_with("sh") {
        true => format!("{what}es"),
        false => format!("{what}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_and_many() {
        for (count, what, words) in [
            (1, "thread", "1 thread"),
            (2, "thread", "2 threads"),
            (0, "process", "0 processes"),
            (3, "child", "3 children"),
            (2, "directory", "2 directories"),
            (2, "key", "2 keys"),
            (2, "area of shared memory", "2 areas of shared memory"),
            (2, "lock on a file", "2 locks on a file"),
            (2, "counter, timer or pipe", "2 counters, timers or pipes"),
            (
                2,
                "mutex with priority inheritance",
                "2 mutexes with priority inheritance",
            ),
            (2, "mutex", "2 mutexes"),
        ] {
            assert_eq!(counted(count, what), words);
        }
    }
}
