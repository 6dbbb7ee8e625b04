//! Memory that a daemon on every host need not hold.
//!
//! The kernel maps sixteen pages of a program for each that is touched. Starting touches two thirds of
//! this one, an idle node a third. Code that is let go of stays in the page cache, and comes back when
//! it is run; until then the host may use its memory.

use std::{ffi::c_void, fs, io, ops::Range, ptr};

use rustix::mm::{Advice, madvise};

/// Lets go of code, of the program and its libraries, that nobody has changed. It takes about a
/// millisecond; tells the first error, if there is one, and goes on with the rest.
pub(crate) fn let_go_of_code() -> io::Result<()> {
    let mappings = fs::read_to_string("/proc/self/smaps")?;
    let mut result = Ok(());
    for range in unchanged_code(&mappings) {
        let start: *mut c_void = ptr::without_provenance_mut(range.start);
        // SAFETY: the range is a mapping of a file that is read and run, never written, and of which
        // no page is a copy of our own: what comes back is what the file holds, as when it was first
        // mapped. It is mapped still: code that was loaded is not unloaded here, modules of the C
        // library among it.
        #[expect(unsafe_code, reason = "no safe call gives pages back")]
        let let_go = unsafe { madvise(start, range.len(), Advice::LinuxDontNeed) };
        result = result.and(let_go.map_err(io::Error::from));
    }
    result
}

/// The addresses of code that is as it is in its file: a debugger's breakpoints, say, are not.
fn unchanged_code(mappings: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut code = None;
    for line in mappings.lines() {
        let mut words = line.split_ascii_whitespace();
        match words.next() {
            // Changed pages that are in memory, and such that are not.
            Some("Anonymous:" | "Swap:") if words.next() != Some("0") => code = None,
            Some("Swap:") => found.extend(code.take()),
            Some(word) if !word.ends_with(':') => code = code_of_file(word, words),
            _ => {}
        }
    }
    found
}

/// Reads the first line of a mapping: `start-end permissions offset device inode path`.
fn code_of_file<'a>(range: &str, mut rest: impl Iterator<Item = &'a str>) -> Option<Range<usize>> {
    let (start, end) = range.split_once('-')?;
    let is_code = rest.next()? == "r-xp";
    let is_of_file = rest.nth(2)? != "0";
    let address = |text| usize::from_str_radix(text, 16).ok();
    (is_code && is_of_file).then_some(address(start)?..address(end)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_unchanged_code_of_files_is_let_go_of() {
        let cases = [
            ("code", "1000-3000 r-xp 00001000 fe:00 77 /bin/a b", 0, 0, Some(0x1000..0x3000)),
            ("changed code", "1000-3000 r-xp 00001000 fe:00 77 /bin/a", 4, 0, None),
            ("changed and swapped out", "1000-3000 r-xp 00001000 fe:00 77 /bin/a", 0, 4, None),
            ("data", "1000-3000 r--p 00000000 fe:00 77 /bin/a", 0, 0, None),
            ("written data", "1000-3000 rw-p 00000000 fe:00 77 /bin/a", 0, 0, None),
            ("shared code", "1000-3000 r-xs 00000000 fe:00 77 /bin/a", 0, 0, None),
            ("of no file", "1000-3000 r-xp 00000000 00:00 0 [vdso]", 0, 0, None),
            ("without a name", "1000-3000 r-xp 00000000 00:00 0", 0, 0, None),
            ("not an address", "1000-xyz r-xp 00000000 fe:00 77 /bin/a", 0, 0, None),
        ];
        for (what, line, anonymous, swap, wanted) in cases {
            let mapping = format!(
                "{line}\nSize: 8 kB\nAnonymous: {anonymous} kB\nSwap: {swap} kB\nVmFlags: rd\n"
            );
            let stack = "7000-8000 rw-p 00000000 00:00 0 [stack]\nAnonymous: 0 kB\nSwap: 0 kB\n";
            let found = unchanged_code(&format!("{mapping}{stack}"));
            assert_eq!(found, Vec::from_iter(wanted), "{what}");
        }
    }

    #[test]
    fn a_process_runs_on_with_less_of_its_code() {
        let resident_kib = || -> u64 {
            let mappings = fs::read_to_string("/proc/self/smaps_rollup").unwrap();
            let line = mappings.lines().find_map(|line| line.strip_prefix("Rss:")).unwrap();
            line.trim().trim_end_matches(" kB").parse().unwrap()
        };
        let before = resident_kib();
        let_go_of_code().unwrap();
        let after = resident_kib();
        assert!(after < before, "{after} KiB of {before} KiB are still resident");
    }
}
