//! The processors: `processor_type` and its siblings.

use std::collections::BTreeSet;

use super::{FactRoot, tidy};

/// What is known of the processors.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Processors {
    /// The model of the first one.
    pub(super) model: Option<String>,
    pub(super) vendor: Option<String>,
    /// What all of them can do.
    pub(super) features: Option<BTreeSet<String>>,
    /// Packages, not cores.
    pub(super) sockets: Option<i64>,
    /// Cores of one package.
    pub(super) cores: Option<i64>,
    pub(super) threads_per_core: Option<i64>,
    /// All threads of all of them.
    pub(super) vcpus: Option<i64>,
}

/// Implementers of ARM processors, by the number in their id register.
const ARM_VENDORS: &[(u32, &str)] = &[
    (0x41, "ARM"),
    (0x42, "Broadcom"),
    (0x43, "Cavium"),
    (0x46, "Fujitsu"),
    (0x48, "HiSilicon"),
    (0x4e, "NVIDIA"),
    (0x50, "APM"),
    (0x51, "Qualcomm"),
    (0x53, "Samsung"),
    (0x56, "Marvell"),
    (0x61, "Apple"),
    (0x69, "Intel"),
    (0x6d, "Microsoft"),
    (0x70, "Phytium"),
    (0xc0, "Ampere"),
];

/// ARM processors, by implementer and part number.
const ARM_PARTS: &[(u32, u32, &str)] = &[
    (0x41, 0xb76, "ARM1176"),
    (0x41, 0xc05, "Cortex-A5"),
    (0x41, 0xc07, "Cortex-A7"),
    (0x41, 0xc08, "Cortex-A8"),
    (0x41, 0xc09, "Cortex-A9"),
    (0x41, 0xc0e, "Cortex-A17"),
    (0x41, 0xc0f, "Cortex-A15"),
    (0x41, 0xd01, "Cortex-A32"),
    (0x41, 0xd03, "Cortex-A53"),
    (0x41, 0xd04, "Cortex-A35"),
    (0x41, 0xd05, "Cortex-A55"),
    (0x41, 0xd07, "Cortex-A57"),
    (0x41, 0xd08, "Cortex-A72"),
    (0x41, 0xd09, "Cortex-A73"),
    (0x41, 0xd0a, "Cortex-A75"),
    (0x41, 0xd0b, "Cortex-A76"),
    (0x41, 0xd0c, "Neoverse-N1"),
    (0x41, 0xd0d, "Cortex-A77"),
    (0x41, 0xd40, "Neoverse-V1"),
    (0x41, 0xd41, "Cortex-A78"),
    (0x41, 0xd42, "Cortex-A78AE"),
    (0x41, 0xd44, "Cortex-X1"),
    (0x41, 0xd46, "Cortex-A510"),
    (0x41, 0xd47, "Cortex-A710"),
    (0x41, 0xd48, "Cortex-X2"),
    (0x41, 0xd49, "Neoverse-N2"),
    (0x41, 0xd4a, "Neoverse-E1"),
    (0x41, 0xd4d, "Cortex-A715"),
    (0x41, 0xd4e, "Cortex-X3"),
    (0x41, 0xd4f, "Neoverse-V2"),
    (0x41, 0xd80, "Cortex-A520"),
    (0x41, 0xd81, "Cortex-A720"),
    (0x41, 0xd82, "Cortex-X4"),
    (0x41, 0xd84, "Neoverse-V3"),
    (0x41, 0xd8e, "Neoverse-N3"),
    (0x43, 0x0a1, "ThunderX"),
    (0x43, 0x0af, "ThunderX2"),
    (0x46, 0x001, "A64FX"),
    (0x48, 0xd01, "TaiShan-v110"),
    (0x51, 0xc00, "Falkor"),
    (0x61, 0x022, "Icestorm-M1"),
    (0x61, 0x023, "Firestorm-M1"),
    (0x6d, 0xd49, "Azure-Cobalt-100"),
    (0xc0, 0xac3, "Ampere-1"),
    (0xc0, 0xac4, "Ampere-1a"),
];

impl Processors {
    /// Reads the processors; every part may be missing.
    pub(super) fn read(root: &FactRoot) -> Self {
        let text = root.text("proc/cpuinfo").unwrap_or_default();
        let lines: Vec<_> = text
            .lines()
            .filter_map(|line| line.split_once(':'))
            .map(|(key, value)| (key.trim(), value.trim()))
            .collect();
        let first = |key: &str| {
            lines.iter().find(|(known, _)| *known == key).and_then(|(_, value)| tidy(value))
        };
        let implementer = first("CPU implementer").as_deref().and_then(hexadecimal);
        let part = first("CPU part").as_deref().and_then(hexadecimal);
        let sockets = sockets(root, &lines);
        let vcpus = vcpus(root, &lines);
        let cores = cores(root).filter(|cores| vcpus.is_some_and(|vcpus| *cores <= vcpus));
        Self {
            cores: cores.zip(sockets).map(|(cores, sockets)| cores / sockets),
            threads_per_core: vcpus.zip(cores).map(|(vcpus, cores)| vcpus / cores),
            vcpus,
            // x86 and ARM, LoongArch, MIPS, POWER.
            model: ["model name", "Model Name", "cpu model", "cpu"]
                .into_iter()
                .find_map(first)
                .or_else(|| arm_model(implementer?, part?)),
            vendor: first("vendor_id").or_else(|| arm_vendor(implementer?)),
            features: features(&lines),
            sockets,
        }
    }
}

fn arm_vendor(implementer: u32) -> Option<String> {
    let (_, name) = ARM_VENDORS.iter().find(|(known, _)| *known == implementer)?;
    Some((*name).to_owned())
}

fn arm_model(implementer: u32, part: u32) -> Option<String> {
    let (.., name) = ARM_PARTS.iter().find(|(i, p, _)| (*i, *p) == (implementer, part))?;
    Some((*name).to_owned())
}

fn hexadecimal(text: &str) -> Option<u32> {
    u32::from_str_radix(text.strip_prefix("0x")?, 16).ok()
}

/// The features that every processor has: x86 calls them flags.
fn features(lines: &[(&str, &str)]) -> Option<BTreeSet<String>> {
    let mut sets = lines
        .iter()
        .filter(|(key, _)| matches!(*key, "flags" | "Features" | "features"))
        .map(|(_, value)| value.split_whitespace().map(str::to_lowercase).collect::<BTreeSet<_>>());
    let mut common = sets.next()?;
    for set in sets {
        common.retain(|feature| set.contains(feature));
    }
    Some(common.iter().filter_map(|feature| tidy(feature)).collect())
}

const DIRECTORY: &str = "sys/devices/system/cpu";

/// The processors as the kernel counts them: those that it lists, or else those that it has directories for.
fn vcpus(root: &FactRoot, lines: &[(&str, &str)]) -> Option<i64> {
    let listed = lines.iter().filter(|(key, _)| *key == "processor").count();
    let count = if listed > 0 { listed } else { directories(root).count() };
    i64::try_from(count).ok().filter(|count| *count > 0)
}

fn directories(root: &FactRoot) -> impl Iterator<Item = String> {
    root.names(DIRECTORY).unwrap_or_default().into_iter().filter(|name| {
        let number = name.strip_prefix("cpu").unwrap_or("");
        !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit())
    })
}

/// Distinct cores of all packages.
fn cores(root: &FactRoot) -> Option<i64> {
    let cores: BTreeSet<(Option<i64>, i64)> = directories(root)
        .filter_map(|name| {
            let file = |file: &str| format!("{DIRECTORY}/{name}/topology/{file}");
            Some((root.number(&file("physical_package_id")), root.number(&file("core_id"))?))
        })
        .collect();
    i64::try_from(cores.len()).ok().filter(|count| *count > 0)
}

/// The level of the x86-64 ABI that the features make up, 1 to 4. `None` on other processors.
pub(super) fn level(features: Option<&BTreeSet<String>>) -> Option<i64> {
    const LEVELS: [&[&str]; 4] = [
        &["lm", "cmov", "cx8", "fpu", "fxsr", "mmx", "syscall", "sse2"],
        &["cx16", "lahf_lm", "popcnt", "sse4_1", "sse4_2", "ssse3"],
        &["avx", "avx2", "bmi1", "bmi2", "f16c", "fma", "abm", "movbe", "xsave"],
        &["avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"],
    ];
    let features = features?;
    let has = |needed: &&&[&str]| needed.iter().all(|feature| features.contains(*feature));
    i64::try_from(LEVELS.iter().take_while(has).count()).ok().filter(|level| *level > 0)
}

/// Distinct packages, as the kernel numbers them; -1 is a package it does not know.
fn sockets(root: &FactRoot, lines: &[(&str, &str)]) -> Option<i64> {
    let mut packages: BTreeSet<i64> = root
        .names(DIRECTORY)
        .unwrap_or_default()
        .iter()
        .filter_map(|name| root.number(&format!("{DIRECTORY}/{name}/topology/physical_package_id")))
        .collect();
    if packages.is_empty() {
        let stated = lines.iter().filter(|(key, _)| *key == "physical id");
        packages = stated.filter_map(|(_, value)| value.parse().ok()).collect();
    }
    packages.retain(|package| *package >= 0);
    i64::try_from(packages.len()).ok().filter(|count| *count > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_sets_of_features() {
        let check = |features: &str, expected| {
            let features = features.split(' ').map(str::to_owned).collect();
            assert_eq!(level(Some(&features)), expected, "{features:?}");
        };
        let one = "lm cmov cx8 fpu fxsr mmx syscall sse2";
        let two = "cx16 lahf_lm popcnt sse4_1 sse4_2 ssse3";
        let three = "avx avx2 bmi1 bmi2 f16c fma abm movbe xsave";
        check(one, Some(1));
        check(&format!("{one} {two}"), Some(2));
        check(&format!("{one} {two} {three} avx512f"), Some(3));
        check(&format!("{one} {three}"), Some(1));
        check("fp asimd aes", None);
        assert_eq!(level(None), None);
    }
}
