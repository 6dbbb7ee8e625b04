//! What kind of file a plugin is, as far as its first bytes tell: so that one for another machine is
//! refused with a reason, and not with what a shell makes of it.

use std::{env::consts::ARCH, fmt};

/// How many bytes are looked at.
pub(crate) const HEAD_BYTES: usize = 20;

/// Why a file cannot be run on this host. The user's fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum ProgramError {
    /// It is for another processor.
    #[error("it is built for {0}, this host is {ARCH}")]
    Architecture(Machine),
    /// It is for another system.
    #[error("it is a program for {0}, this host runs Linux")]
    System(&'static str),
    /// It is an object file, a core dump or the like.
    #[error("it is an ELF file, but not a program")]
    NoProgram,
    /// It is something else.
    #[error(
        "wrong architecture or not executable: it is neither an ELF program nor a script that \
         begins with `#!`"
    )]
    Unknown,
}

/// A processor as ELF has it: its number, and the length of its words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Machine {
    number: u16,
    wide: bool,
    big_endian: bool,
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match (self.number, self.wide, self.big_endian) {
            (3, ..) => "x86",
            (8, ..) => "mips",
            (20, ..) => "powerpc",
            (21, _, true) => "powerpc64",
            (21, _, false) => "powerpc64le",
            (22, ..) => "s390x",
            (40, ..) => "arm",
            (62, ..) => "x86_64",
            (183, ..) => "aarch64",
            (243, true, _) => "riscv64",
            (243, false, _) => "riscv32",
            (258, ..) => "loongarch64",
            (number, ..) => return write!(f, "processor number {number}"),
        };
        f.write_str(name)
    }
}

impl Machine {
    /// Does this host run it? 64-bit ones run what is for their 32-bit kin.
    fn runs_here(self) -> bool {
        let name = self.to_string();
        let kin = match ARCH {
            "x86_64" => "x86",
            "aarch64" => "arm",
            _ => ARCH,
        };
        // Names that Rust and we do not share: let the system decide.
        name == ARCH || name == kin || ARCH.starts_with("powerpc") || ARCH.starts_with("mips")
    }
}

/// Can a file that begins so be run on this host?
pub(crate) fn inspect(head: &[u8]) -> Result<(), ProgramError> {
    if head.starts_with(b"#!") {
        return Ok(());
    }
    if head.starts_with(b"MZ") {
        return Err(ProgramError::System("Windows"));
    }
    let mach = [[0xfe, 0xed, 0xfa], [0xcf, 0xfa, 0xed], [0xce, 0xfa, 0xed], [0xca, 0xfe, 0xba]];
    if mach.iter().any(|magic| head.starts_with(magic)) {
        return Err(ProgramError::System("macOS"));
    }
    let Some(&[b'E', b'L', b'F', class, data, ..]) = head.strip_prefix(b"\x7f") else {
        return Err(ProgramError::Unknown);
    };
    let big_endian = data == 2;
    let half = |at: usize| -> Option<u16> {
        let bytes: [u8; 2] = head.get(at..at + 2)?.try_into().ok()?;
        Some(if big_endian { u16::from_be_bytes(bytes) } else { u16::from_le_bytes(bytes) })
    };
    // Executables, and those that may lie anywhere, which are libraries as well.
    if !matches!(half(16), Some(2 | 3)) {
        return Err(ProgramError::NoProgram);
    }
    let number = half(18).ok_or(ProgramError::NoProgram)?;
    let machine = Machine { number, wide: class == 2, big_endian };
    if machine.runs_here() { Ok(()) } else { Err(ProgramError::Architecture(machine)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn elf(class: u8, data: u8, kind: u16, machine: u16) -> Vec<u8> {
        let mut head = vec![0x7f, b'E', b'L', b'F', class, data, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        for half in [kind, machine] {
            head.extend(if data == 2 { half.to_be_bytes() } else { half.to_le_bytes() });
        }
        head
    }

    fn check(head: &[u8], expected: Result<(), &str>) {
        let found = inspect(head).map_err(|error| error.to_string());
        assert_eq!(found.as_ref().map_err(String::as_str), expected.as_ref().map_err(|e| *e));
    }

    #[test]
    fn a_program_for_another_machine_is_named() {
        let foreign = |name: &str| format!("it is built for {name}, this host is {ARCH}");
        check(&elf(2, 2, 2, 22), Err(&foreign("s390x")));
        check(&elf(2, 1, 3, 258), Err(&foreign("loongarch64")));
        check(&elf(2, 1, 2, 9999), Err(&foreign("processor number 9999")));
        let (here, there) = match ARCH {
            "x86_64" => (62, (183, "aarch64")),
            _ => (183, (62, "x86_64")),
        };
        check(&elf(2, 1, 2, here), Ok(()));
        check(&elf(2, 1, 3, here), Ok(()));
        check(&elf(2, 1, 2, there.0), Err(&foreign(there.1)));
        let own = std::fs::read("/proc/self/exe").unwrap();
        check(&own[..HEAD_BYTES], Ok(()));
    }

    #[test]
    fn what_is_no_program_is_told_of() {
        check(b"#!/bin/sh\n", Ok(()));
        check(b"MZ\x90\0", Err("it is a program for Windows, this host runs Linux"));
        check(b"\xcf\xfa\xed\xfe\x07", Err("it is a program for macOS, this host runs Linux"));
        check(&elf(2, 1, 1, 62), Err("it is an ELF file, but not a program"));
        check(&elf(2, 1, 2, 62)[..17], Err("it is an ELF file, but not a program"));
        let unknown = "wrong architecture or not executable: it is neither an ELF program nor a \
                       script that begins with `#!`";
        for head in [&b""[..], b"I am a text", b"\x7fEL", b"PK\x03\x04"] {
            check(head, Err(unknown));
        }
    }
}
