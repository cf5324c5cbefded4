//! How the bytes of a line become text: strictly, or not at all.

use std::borrow::Cow;
use std::fmt;

use encoding_rs::{Encoding as Codec, UTF_8};

/// How the bytes of a line are read as text (XAS-40). The default is UTF-8.
///
/// Lines are split at byte 0x0A before they are decoded, so only encodings in which that byte is
/// always a line feed make sense; [`for_label`](Self::for_label) refuses the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Encoding {
    /// UTF-8. A byte order mark is kept as U+FEFF.
    #[default]
    Utf8,
    /// ASCII: bytes from 0x80 on are undecodable.
    Ascii,
    /// ISO 8859-1: every byte is the character of the same number, so nothing is undecodable.
    Latin1,
    /// Any other encoding of the WHATWG standard, without looking at byte order marks.
    Label(Label),
}

/// An encoding of the WHATWG standard, from [`Encoding::for_label`].
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Label(
    /// Its place in the table: a line carries its encoding, so it is small.
    u8,
);

/// Those that lines can be split in, but for UTF-8.
static CODECS: [&Codec; 36] = [
    &encoding_rs::BIG5_INIT,
    &encoding_rs::EUC_JP_INIT,
    &encoding_rs::EUC_KR_INIT,
    &encoding_rs::GB18030_INIT,
    &encoding_rs::GBK_INIT,
    &encoding_rs::IBM866_INIT,
    &encoding_rs::ISO_2022_JP_INIT,
    &encoding_rs::ISO_8859_2_INIT,
    &encoding_rs::ISO_8859_3_INIT,
    &encoding_rs::ISO_8859_4_INIT,
    &encoding_rs::ISO_8859_5_INIT,
    &encoding_rs::ISO_8859_6_INIT,
    &encoding_rs::ISO_8859_7_INIT,
    &encoding_rs::ISO_8859_8_INIT,
    &encoding_rs::ISO_8859_8_I_INIT,
    &encoding_rs::ISO_8859_10_INIT,
    &encoding_rs::ISO_8859_13_INIT,
    &encoding_rs::ISO_8859_14_INIT,
    &encoding_rs::ISO_8859_15_INIT,
    &encoding_rs::ISO_8859_16_INIT,
    &encoding_rs::KOI8_R_INIT,
    &encoding_rs::KOI8_U_INIT,
    &encoding_rs::MACINTOSH_INIT,
    &encoding_rs::SHIFT_JIS_INIT,
    &encoding_rs::WINDOWS_1250_INIT,
    &encoding_rs::WINDOWS_1251_INIT,
    &encoding_rs::WINDOWS_1252_INIT,
    &encoding_rs::WINDOWS_1253_INIT,
    &encoding_rs::WINDOWS_1254_INIT,
    &encoding_rs::WINDOWS_1255_INIT,
    &encoding_rs::WINDOWS_1256_INIT,
    &encoding_rs::WINDOWS_1257_INIT,
    &encoding_rs::WINDOWS_1258_INIT,
    &encoding_rs::WINDOWS_874_INIT,
    &encoding_rs::X_MAC_CYRILLIC_INIT,
    &encoding_rs::X_USER_DEFINED_INIT,
];

impl Label {
    fn of(codec: &'static Codec) -> Option<Self> {
        let place = CODECS.iter().position(|known| *known == codec)?;
        Some(Self(u8::try_from(place).ok()?))
    }

    fn codec(self) -> &'static Codec {
        CODECS[usize::from(self.0)]
    }

    /// The name in the standard.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.codec().name()
    }
}

impl fmt::Debug for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Encoding {
    /// The encoding of this name, whatever its case and the white space around it.
    ///
    /// The names of ASCII and ISO 8859-1 mean these two, as in Python, and not windows-1252, as in
    /// the WHATWG standard. `_` is as good as `-`. All other names are the standard's.
    ///
    /// # Errors
    /// When nobody knows the name, or when lines cannot be split in that encoding (UTF-16).
    ///
    /// ```
    /// use switchboard_core::encoding::Encoding;
    ///
    /// assert_eq!(Encoding::for_label("UTF-8").unwrap(), Encoding::Utf8);
    /// assert_eq!(Encoding::for_label("latin-1").unwrap().decode(b"\xE9").unwrap(), "é");
    /// assert!(Encoding::for_label("utf-16").is_err());
    /// ```
    pub fn for_label(label: &str) -> Result<Self, UnknownEncoding> {
        let name = label.trim().to_ascii_lowercase();
        let dashed = name.replace('_', "-");
        match dashed.as_str() {
            "utf-8" | "utf8" => return Ok(Self::Utf8),
            "ascii" | "us-ascii" | "ansi-x3.4-1968" => return Ok(Self::Ascii),
            "latin-1" | "latin1" | "l1" | "iso-8859-1" | "iso8859-1" | "iso88591"
            | "iso-8859-1:1987" | "iso-ir-100" | "csisolatin1" | "cp819" | "ibm819" => {
                return Ok(Self::Latin1);
            }
            _ => {}
        }
        let codec = Codec::for_label_no_replacement(name.as_bytes())
            .or_else(|| Codec::for_label_no_replacement(dashed.as_bytes()));
        if codec == Some(UTF_8) {
            return Ok(Self::Utf8);
        }
        let known = codec.and_then(Label::of).map(Self::Label);
        known.ok_or_else(|| UnknownEncoding {
            label: label.to_owned(),
        })
    }

    /// The name, in lower case for the three that are built in and as in the standard otherwise.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Utf8 => "utf-8",
            Self::Ascii => "ascii",
            Self::Latin1 => "latin-1",
            Self::Label(label) => label.name(),
        }
    }

    /// These bytes as text, borrowed where they are already UTF-8 (always for `Utf8` and `Ascii`).
    ///
    /// # Errors
    /// When a byte or a sequence has no meaning in this encoding, or the last one is incomplete.
    /// Nothing is ever replaced.
    #[inline]
    pub fn decode(self, bytes: &[u8]) -> Result<Cow<'_, str>, Undecodable> {
        let undecodable = |valid_up_to| Undecodable {
            encoding: self,
            valid_up_to,
        };
        match self {
            Self::Utf8 => str::from_utf8(bytes)
                .map(Cow::Borrowed)
                .map_err(|error| undecodable(error.valid_up_to())),
            Self::Ascii => match str::from_utf8(bytes) {
                Ok(text) if text.is_ascii() => Ok(Cow::Borrowed(text)),
                _ => Err(undecodable(Codec::ascii_valid_up_to(bytes))),
            },
            Self::Latin1 => Ok(encoding_rs::mem::decode_latin1(bytes)),
            Self::Label(label) => label
                .codec()
                .decode_without_bom_handling_and_without_replacement(bytes)
                .ok_or_else(|| undecodable(valid_up_to(label.codec(), bytes))),
        }
    }
}

impl fmt::Display for Encoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Decodes once more, only to find where it fails.
fn valid_up_to(codec: &'static Codec, bytes: &[u8]) -> usize {
    let mut decoder = codec.new_decoder_without_bom_handling();
    let mut scratch = [0; 256];
    let mut read = 0;
    loop {
        let (result, more, _) =
            decoder.decode_to_utf8_without_replacement(&bytes[read..], &mut scratch, true);
        read += more;
        match result {
            encoding_rs::DecoderResult::OutputFull => {}
            encoding_rs::DecoderResult::InputEmpty => return read,
            encoding_rs::DecoderResult::Malformed(bad, behind) => {
                return read.saturating_sub(usize::from(bad) + usize::from(behind));
            }
        }
    }
}

/// Bytes that are no text in the encoding that was asked for (XAS-39). The connection lives on, and
/// whoever got this still has the bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("bytes from offset {valid_up_to} on are not valid {encoding}")]
pub struct Undecodable {
    /// The encoding that they are not valid in.
    pub encoding: Encoding,
    /// So many bytes before them are valid.
    pub valid_up_to: usize,
}

/// A name that is no encoding, or one that lines cannot be split in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown encoding {label:?}, or one that lines cannot be split in")]
pub struct UnknownEncoding {
    /// The name, as it was given.
    pub label: String,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn label(label: &str) -> Encoding {
        Encoding::for_label(label).unwrap()
    }

    #[test]
    fn xas_40_python_names_mean_what_they_mean_in_python() {
        for name in ["utf8", " UTF-8 ", "utf_8", "Utf8"] {
            assert_eq!(label(name), Encoding::Utf8, "{name}");
        }
        for name in ["ascii", "US-ASCII", "us_ascii"] {
            assert_eq!(label(name), Encoding::Ascii, "{name}");
        }
        for name in ["latin1", "Latin-1", "latin_1", "iso-8859-1", "ISO8859-1"] {
            assert_eq!(label(name), Encoding::Latin1, "{name}");
        }
        assert_eq!(label("cp1252").name(), "windows-1252");
        assert_eq!(label("shift_jis").name(), "Shift_JIS");
        assert_eq!(label("euc_jp").name(), "EUC-JP");
        assert_eq!(label("koi8_r").name(), "KOI8-R");
    }

    #[test]
    fn xas_40_every_encoding_of_the_table_is_found_by_its_name() {
        for codec in CODECS {
            let encoding = label(codec.name());
            assert_eq!(encoding.name(), codec.name());
            assert_eq!(encoding.decode(b"line").unwrap(), "line", "{encoding}");
        }
        assert_eq!(size_of::<Encoding>(), 2);
    }

    #[test]
    fn xas_40_unknown_and_unsplittable_encodings_are_refused() {
        for name in [
            "",
            "nope",
            "utf-16",
            "UTF-16LE",
            "utf_16_be",
            "utf-16be",
            "ucs-2",
            "utf-32",
            "utf-7",
            "replacement",
            "iso-2022-kr",
        ] {
            let error = Encoding::for_label(name).unwrap_err();
            assert_eq!(error.label, name);
        }
    }

    #[test]
    fn xas_40_decoding_is_strict() {
        assert_eq!(Encoding::Latin1.decode(b"caf\xE9").unwrap(), "café");
        assert_eq!(Encoding::Ascii.decode(b"cafe").unwrap(), "cafe");
        assert_eq!(Encoding::Utf8.decode(b"caf\xC3\xA9").unwrap(), "café");
        for (encoding, bytes, valid_up_to) in [
            (Encoding::Ascii, &b"caf\xE9"[..], 3),
            (Encoding::Ascii, b"caf\xC3\xA9", 3),
            (Encoding::Utf8, b"\xFF\xFE", 0),
            (Encoding::Utf8, b"caf\xC3", 3),
            (label("shift_jis"), b"ab\xFF", 2),
            (label("shift_jis"), b"ab\x81", 2),
            (label("windows-1253"), b"\x61\xAA\x61", 1),
        ] {
            let expected = Undecodable {
                encoding,
                valid_up_to,
            };
            assert_eq!(encoding.decode(bytes), Err(expected), "{bytes:?}");
        }
    }

    #[test]
    fn where_it_fails_is_found_far_behind_too() {
        let mut bytes = b"\x82\xA0".repeat(1000);
        bytes.push(0xFF);
        let error = label("shift_jis").decode(&bytes).unwrap_err();
        assert_eq!(error.valid_up_to, 2000);
    }

    #[test]
    fn text_that_is_utf_8_already_is_not_copied() {
        for encoding in [
            Encoding::Utf8,
            Encoding::Ascii,
            Encoding::Latin1,
            label("windows-1252"),
        ] {
            assert!(matches!(
                encoding.decode(b"plain"),
                Ok(Cow::Borrowed("plain"))
            ));
        }
    }

    #[test]
    fn a_byte_order_mark_is_text() {
        assert_eq!(
            Encoding::Utf8.decode(b"\xEF\xBB\xBFa").unwrap(),
            "\u{FEFF}a"
        );
    }

    #[test]
    fn errors_display_as_one_lower_case_line() {
        let error = Encoding::Ascii.decode(b"ab\xE9").unwrap_err();
        assert_eq!(
            error.to_string(),
            "bytes from offset 2 on are not valid ascii"
        );
        let error = Encoding::for_label("no\npe").unwrap_err();
        assert!(!error.to_string().contains('\n'));
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(256) })]

        #[test]
        fn no_bytes_panic_and_the_valid_part_is_valid(
            name in prop::sample::select(vec![
                "utf-8", "ascii", "latin1", "windows-1252", "shift_jis", "euc-kr", "gb18030",
                "big5", "iso-2022-jp", "koi8-r", "windows-1253",
            ]),
            bytes in prop::collection::vec(any::<u8>(), 0..64),
        ) {
            let encoding = label(name);
            if let Err(error) = encoding.decode(&bytes) {
                prop_assert!(error.valid_up_to < bytes.len());
                prop_assert!(encoding.decode(&bytes[..error.valid_up_to]).is_ok());
            }
        }

        #[test]
        fn labels_never_panic(name in any::<String>()) {
            let _ = Encoding::for_label(&name);
        }
    }
}
