//! The space of file systems.

/// The space of a file system, in bytes. A server with quotas may report the quota of the share instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    /// The size of the file system.
    pub total: u64,
    /// How much of it the user of this client can still fill.
    pub available: u64,
    /// The number of files; `None` if the server does not tell.
    pub files: Option<FileSpace>,
}

/// The number of files of a file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileSpace {
    /// How many files it can have.
    pub total: u64,
    /// How many more the user of this client can create.
    pub available: u64,
}

impl FileSpace {
    /// Returns nothing for file systems without a fixed number of files: they report 0.
    pub fn reported(total: u64, available: u64) -> Option<Self> {
        (total > 0).then_some(Self { total, available })
    }
}

/// Returns a number of bytes in the largest unit that fits.
pub fn size(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    let power = (bytes.max(1).ilog2() / 10) as usize;
    let Some(unit) = power.checked_sub(1).and_then(|at| UNITS.get(at)) else {
        return format!("{bytes} bytes");
    };
    // Tenths, without floating-point numbers.
    let tenths = (u128::from(bytes) * 10) >> (10 * power);
    format!("{}.{} {unit}", tenths / 10, tenths % 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_has_a_unit_and_one_digit_after_the_point() {
        let sizes = [0, 1023, 1024, 1536, 5 << 40, u64::MAX];
        assert_eq!(
            sizes.map(size),
            ["0 bytes", "1023 bytes", "1.0 KiB", "1.5 KiB", "5.0 TiB", "15.9 EiB"]
        );
    }
}
