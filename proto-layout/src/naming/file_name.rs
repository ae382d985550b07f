//! The names of a segment's files, built and read without allocating.

use core::fmt;
use std::ffi::OsStr;
use std::path::Path;

use super::{NameError, NameField, SERVICE_NAME_LENGTH_MAX_BYTES, service_name};

const ID_LENGTH_BYTES: usize = 16;
const ID_DIGITS: usize = 2 * ID_LENGTH_BYTES;
const SEGMENT_SUFFIX: &str = ".seg";
const ACK_SUFFIX: &str = ".ack";
const TEMPORARY_PREFIX: &str = ".tmp-";
const SEGMENT_FORM: &str = "<service>-<32 lower-case hexadecimal digits>.seg";
const ACK_FORM: &str = "<service>-<32 lower-case hexadecimal digits>.ack";
const TEMPORARY_FORM: &str = ".tmp-<32 lower-case hexadecimal digits>";

/// The longest file name: service, `-`, id and a suffix of four characters.
pub const FILE_NAME_LENGTH_MAX_BYTES: usize = SERVICE_NAME_LENGTH_MAX_BYTES + 1 + ID_DIGITS + 4;

const _: () = {
    // Lengths are kept in one byte, and every file system takes names of 255 bytes.
    assert!(FILE_NAME_LENGTH_MAX_BYTES == 101);
    assert!(SERVICE_NAME_LENGTH_MAX_BYTES <= 255);
    assert!(TEMPORARY_PREFIX.len() + ID_DIGITS <= FILE_NAME_LENGTH_MAX_BYTES);
};

/// What identifies a segment among files: its service and its random 128-bit id.
///
/// A file name has one spelling only (the digits are lower case), so that two names that
/// differ are two segments.
///
/// ```
/// use ringmeter_layout::naming::SegmentName;
///
/// let name = SegmentName::new("checkout", [0xab; 16])?;
/// assert_eq!(name.segment_file().as_str(), "checkout-abababababababababababababababab.seg");
/// assert_eq!(name.ack_file().as_str(), "checkout-abababababababababababababababab.ack");
/// assert_eq!(name.temporary_file().as_str(), ".tmp-abababababababababababababababab");
/// assert_eq!(SegmentName::parse(name.segment_file().as_str()), Ok(name));
/// # Ok::<(), ringmeter_layout::naming::NameError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SegmentName {
    /// The service's name, then zero bytes: equal names have equal arrays.
    service: [u8; SERVICE_NAME_LENGTH_MAX_BYTES],
    service_length_bytes: u8,
    id: [u8; ID_LENGTH_BYTES],
}

impl SegmentName {
    /// Names the segment of `service` with the random `id`.
    ///
    /// # Errors
    ///
    /// Those of [`service_name`].
    pub fn new(service: &str, id: [u8; ID_LENGTH_BYTES]) -> Result<Self, NameError> {
        service_name(service)?;
        let too_long = NameError::TooLong {
            field: NameField::ServiceName,
            length_bytes: service.len(),
            limit_bytes: SERVICE_NAME_LENGTH_MAX_BYTES,
        };
        let mut bytes = [0; SERVICE_NAME_LENGTH_MAX_BYTES];
        let target = bytes.get_mut(..service.len()).ok_or(too_long)?;
        target.copy_from_slice(service.as_bytes());
        let service_length_bytes = u8::try_from(service.len()).map_err(|_| too_long)?;
        Ok(Self { service: bytes, service_length_bytes, id })
    }

    /// Reads the name of a segment file.
    ///
    /// # Errors
    ///
    /// [`NameError::FileNameForm`] if it is not `<service>-<32 hex>.seg`, else those of
    /// [`service_name`].
    pub fn parse(file_name: &str) -> Result<Self, NameError> {
        Self::parse_with(file_name, SEGMENT_SUFFIX, SEGMENT_FORM)
    }

    /// Reads the name of an ack file.
    ///
    /// # Errors
    ///
    /// [`NameError::FileNameForm`] if it is not `<service>-<32 hex>.ack`, else those of
    /// [`service_name`].
    pub fn parse_ack(file_name: &str) -> Result<Self, NameError> {
        Self::parse_with(file_name, ACK_SUFFIX, ACK_FORM)
    }

    /// Reads the id from the name of a segment file that is still being made.
    ///
    /// # Errors
    ///
    /// [`NameError::FileNameForm`] if it is not `.tmp-<32 hex>`.
    pub fn parse_temporary(file_name: &str) -> Result<[u8; ID_LENGTH_BYTES], NameError> {
        file_name
            .strip_prefix(TEMPORARY_PREFIX)
            .and_then(parse_id)
            .ok_or(NameError::FileNameForm { expected: TEMPORARY_FORM })
    }

    fn parse_with(
        file_name: &str,
        suffix: &str,
        expected: &'static str,
    ) -> Result<Self, NameError> {
        // From the end, because a service's name may itself hold '-' and digits.
        let form = NameError::FileNameForm { expected };
        let stem = file_name.strip_suffix(suffix).ok_or(form)?;
        let (service, id) = stem.rsplit_once('-').ok_or(form)?;
        Self::new(service, parse_id(id).ok_or(form)?)
    }

    /// The service's name.
    #[must_use]
    pub fn service(&self) -> &str {
        text(&self.service, self.service_length_bytes)
    }

    /// The segment's random id.
    #[must_use]
    pub const fn id(&self) -> [u8; ID_LENGTH_BYTES] {
        self.id
    }

    /// The name of the segment file, in the directory `segments`.
    #[must_use]
    pub fn segment_file(&self) -> FileName {
        self.file(SEGMENT_SUFFIX)
    }

    /// The name of the ack file, in the directory `agent`.
    #[must_use]
    pub fn ack_file(&self) -> FileName {
        self.file(ACK_SUFFIX)
    }

    /// The name of the segment file until it is complete and renamed.
    #[must_use]
    pub fn temporary_file(&self) -> FileName {
        let mut name = FileName::EMPTY;
        name.append(TEMPORARY_PREFIX);
        name.append_id(self.id);
        name
    }

    fn file(&self, suffix: &str) -> FileName {
        let mut name = FileName::EMPTY;
        name.append(self.service());
        name.append("-");
        name.append_id(self.id);
        name.append(suffix);
        name
    }
}

impl fmt::Debug for SegmentName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SegmentName").field(&self.segment_file().as_str()).finish()
    }
}

/// A file name in a fixed array.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileName {
    bytes: [u8; FILE_NAME_LENGTH_MAX_BYTES],
    length_bytes: u8,
}

impl FileName {
    const EMPTY: Self = Self { bytes: [0; FILE_NAME_LENGTH_MAX_BYTES], length_bytes: 0 };

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        text(&self.bytes, self.length_bytes)
    }

    fn append(&mut self, text: &str) {
        for byte in text.bytes() {
            // The compile-time check of the longest name above keeps this in range.
            if let Some(slot) = self.bytes.get_mut(usize::from(self.length_bytes)) {
                *slot = byte;
                self.length_bytes = self.length_bytes.saturating_add(1);
            }
        }
    }

    fn append_id(&mut self, id: [u8; ID_LENGTH_BYTES]) {
        for byte in id {
            self.append(digit(byte >> 4));
            self.append(digit(byte & 0xf));
        }
    }
}

impl AsRef<str> for FileName {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

impl AsRef<OsStr> for FileName {
    fn as_ref(&self) -> &OsStr {
        OsStr::new(self.as_str())
    }
}

impl AsRef<Path> for FileName {
    fn as_ref(&self) -> &Path {
        Path::new(self.as_str())
    }
}

impl fmt::Display for FileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for FileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

fn text(bytes: &[u8], length_bytes: u8) -> &str {
    // Only ASCII is ever stored, so neither fallback is reached.
    bytes
        .get(..usize::from(length_bytes))
        .and_then(|used| core::str::from_utf8(used).ok())
        .unwrap_or_default()
}

fn digit(value: u8) -> &'static str {
    let at = usize::from(value);
    "0123456789abcdef".get(at..=at).unwrap_or_default()
}

fn parse_id(digits: &str) -> Option<[u8; ID_LENGTH_BYTES]> {
    if digits.len() != ID_DIGITS {
        return None;
    }
    let mut id = [0; ID_LENGTH_BYTES];
    for (position, character) in digits.bytes().enumerate() {
        let value = match character {
            b'0'..=b'9' => character - b'0',
            b'a'..=b'f' => character - b'a' + 10,
            _ => return None,
        };
        let byte = id.get_mut(position / 2)?;
        *byte = (*byte << 4) | value;
    }
    Some(id)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ID: [u8; 16] = [0x00, 0x1f, 2, 3, 4, 5, 6, 7, 8, 9, 0xa, 0xb, 0xc, 0xd, 0xe, 0xff];
    const HEX: &str = "001f02030405060708090a0b0c0d0eff";

    #[test]
    fn a_service_may_look_like_the_rest_of_the_name() {
        for service in ["a", "a-b", "a.seg", HEX, "a-00.ack", "x..y"] {
            let name = SegmentName::new(service, ID).unwrap();
            let file = name.segment_file();
            assert_eq!(file.as_str(), format!("{service}-{HEX}.seg"));
            let read = SegmentName::parse(file.as_str()).unwrap();
            assert_eq!((read.service(), read.id()), (service, ID));
        }
    }

    #[test]
    fn the_longest_name_fits() {
        let service = "s".repeat(SERVICE_NAME_LENGTH_MAX_BYTES);
        let file = SegmentName::new(&service, ID).unwrap().ack_file();
        assert_eq!(file.as_str().len(), FILE_NAME_LENGTH_MAX_BYTES);
        assert_eq!(SegmentName::parse_ack(file.as_str()).unwrap().service(), service);
        assert!(SegmentName::new(&format!("{service}s"), ID).is_err());
    }

    #[test]
    fn only_the_exact_form_is_read() {
        let form = Err(NameError::FileNameForm { expected: SEGMENT_FORM });
        let upper = HEX.to_uppercase();
        let short = &HEX[1..];
        for file_name in [
            String::new(),
            ".seg".into(),
            format!("{HEX}.seg"),
            format!("a-{HEX}"),
            format!("a-{HEX}.ack"),
            format!("a-{HEX}.seg "),
            format!("a-{upper}.seg"),
            format!("a-{short}.seg"),
            format!("a-{HEX}0.seg"),
            format!("a_{HEX}.seg"),
        ] {
            assert_eq!(SegmentName::parse(&file_name), form, "{file_name:?}");
        }
        let field = NameField::ServiceName;
        let empty = Err(NameError::Empty { field });
        assert_eq!(SegmentName::parse(&format!("-{HEX}.seg")), empty);
        let hidden = Err(NameError::Character { field, position_bytes: 0, found: '.' });
        assert_eq!(SegmentName::parse(&format!("..-{HEX}.seg")), hidden);
        let slash = Err(NameError::Character { field, position_bytes: 1, found: '/' });
        assert_eq!(SegmentName::parse(&format!("a/b-{HEX}.seg")), slash);
    }

    #[test]
    fn a_temporary_name_holds_the_id_only() {
        let file = SegmentName::new("a", ID).unwrap().temporary_file();
        assert_eq!(file.as_str(), format!(".tmp-{HEX}"));
        assert_eq!(SegmentName::parse_temporary(file.as_str()), Ok(ID));
        assert!(SegmentName::parse_temporary(&format!("tmp-{HEX}")).is_err());
        assert!(SegmentName::parse_temporary(&format!(".tmp-{HEX}.seg")).is_err());
    }

    proptest! {
        #[test]
        fn every_name_reads_back(service in "[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}", id: [u8; 16]) {
            let name = SegmentName::new(&service, id).unwrap();
            prop_assert_eq!(SegmentName::parse(name.segment_file().as_str()), Ok(name));
            prop_assert_eq!(SegmentName::parse_ack(name.ack_file().as_str()), Ok(name));
            prop_assert_eq!(SegmentName::parse_temporary(name.temporary_file().as_str()), Ok(id));
        }

        #[test]
        fn what_is_read_is_written_the_same_way(file_name in ".{0,40}[0-9a-f-]{30,34}.{0,5}") {
            if let Ok(name) = SegmentName::parse(&file_name) {
                let file = name.segment_file();
                prop_assert_eq!(file.as_str(), file_name);
            }
        }
    }
}
