//! Reads what the image needs to know from the header of an ELF file (System V ABI, chapters 4 and 5).

/// What the header of a 64-bit little-endian ELF file says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Elf {
    /// Its machine, as OCI images name it (Go's `GOARCH`); `None` for one that has no image here.
    pub(super) architecture: Option<&'static str>,
    /// The dynamic loader that it asks for (`PT_INTERP`); `None` for a static program.
    pub(super) loader: Option<String>,
}

impl Elf {
    /// Reads the header; `None` if the bytes are not a 64-bit little-endian ELF file.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        const CLASS_64_LITTLE_ENDIAN: [u8; 6] = [0x7f, b'E', b'L', b'F', 2, 1];
        const PT_INTERP: u32 = 3;
        if !bytes.starts_with(&CLASS_64_LITTLE_ENDIAN) {
            return None;
        }
        let table = usize::try_from(u64::from_le_bytes(*at(bytes, 32)?)).ok()?;
        let size = usize::from(u16::from_le_bytes(*at(bytes, 54)?));
        let count = usize::from(u16::from_le_bytes(*at(bytes, 56)?));
        let mut loader = None;
        for index in 0..count {
            let entry = table.checked_add(index.checked_mul(size)?)?;
            if u32::from_le_bytes(*at(bytes, entry)?) == PT_INTERP {
                loader = Some(text(bytes, entry)?);
            }
        }
        let architecture = match u16::from_le_bytes(*at(bytes, 18)?) {
            62 => Some("amd64"),
            183 => Some("arm64"),
            _ => None,
        };
        Some(Self { architecture, loader })
    }
}

/// The text in a program header's segment, which ends with a NUL.
fn text(bytes: &[u8], header: usize) -> Option<String> {
    let offset = usize::try_from(u64::from_le_bytes(*at(bytes, header.checked_add(8)?)?)).ok()?;
    let size = usize::try_from(u64::from_le_bytes(*at(bytes, header.checked_add(32)?)?)).ok()?;
    let segment = bytes.get(offset..offset.checked_add(size)?)?;
    let text = segment.split(|byte| *byte == 0).next().unwrap_or_default();
    String::from_utf8(text.to_vec()).ok()
}

fn at<const N: usize>(bytes: &[u8], offset: usize) -> Option<&[u8; N]> {
    bytes.get(offset..)?.first_chunk()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_and_short_bytes_are_no_elf() {
        assert_eq!(Elf::read(b"#!/bin/sh\n"), None);
        let mut header = vec![0x7f, b'E', b'L', b'F', 2, 1];
        assert_eq!(Elf::read(&header), None, "the header ends too early");
        header.resize(64, 0);
        header[18] = 183;
        assert_eq!(Elf::read(&header), Some(Elf { architecture: Some("arm64"), loader: None }));
        header[56] = 1;
        header[32..40].copy_from_slice(&u64::MAX.to_le_bytes());
        assert_eq!(Elf::read(&header), None, "the program headers lie outside the file");
    }

    #[test]
    fn a_dynamic_program_is_seen() {
        let own = std::fs::read("/proc/self/exe").expect("the test can read itself");
        let loader = Elf::read(&own).expect("it is ELF").loader.expect("a loader");
        assert!(std::path::Path::new(&loader).exists(), "{loader}");
    }
}
