//! Tests of identifiers: rules, path encoding, tags.

use proptest::prelude::{prop_assert, prop_assert_eq, proptest};

use super::{
    Identifier, IdentifierError, MAX_IDENTIFIER_CHARACTERS, decode_path_segment, encode_path_segment,
};

fn identifier(text: &str) -> Identifier {
    text.parse().unwrap()
}

#[test]
fn identifiers_as_they_occur() {
    for text in [
        "doi:10.18739/A2D795C92",
        "urn:uuid:bd3d29b6-0d1d-4d4e-8a0b-0e4f6c6b2a11",
        "jtao.1700.1",
        "ark:/13030/m50000w1/1/cadwsap-s1502277-001.xml",
        "https://pasta.lternet.edu/package/metadata/eml/knb-lter-ble/2/3",
        "{21132B83-7CD4-4DE8-8982-7842A1760580}",
        "ฉันกินกระจกได้",
        "𐌔𐌕𐌖𐌗",
        "a",
        &"𐌔".repeat(MAX_IDENTIFIER_CHARACTERS),
    ] {
        assert_eq!(identifier(text).as_str(), text);
    }
}

#[test]
fn broken_identifiers_are_refused() {
    let parse = |text: &str| text.parse::<Identifier>().unwrap_err();
    assert_eq!(parse(""), IdentifierError::Empty);
    assert_eq!(parse(&"a".repeat(801)), IdentifierError::TooLong { characters: 801 });
    for (text, character, position) in
        [("a b", ' ', 1), ("\ta", '\t', 0), ("é\u{a0}", '\u{a0}', 1), ("a\u{2003}b", '\u{2003}', 1)]
    {
        assert_eq!(parse(text), IdentifierError::Whitespace { character, position });
    }
    assert_eq!(parse("a\0"), IdentifierError::NotPrintable { character: '\0', position: 1 });
    assert_eq!(parse("\u{FFFF}"), IdentifierError::NotPrintable { character: '\u{FFFF}', position: 0 });
}

#[test]
fn serde_checks_the_rules() {
    let json = serde_json::to_string(&identifier("doi:10.18739/A2D795C92")).unwrap();
    assert_eq!(json, "\"doi:10.18739/A2D795C92\"");
    assert_eq!(serde_json::from_str::<Identifier>(&json).unwrap(), identifier("doi:10.18739/A2D795C92"));
    assert!(serde_json::from_str::<Identifier>("\"a b\"").is_err());
}

#[test]
fn path_segments_that_do_not_decode() {
    for segment in ["%", "%4", "%zz", "a%2", "%FF", "%C3"] {
        assert!(decode_path_segment(segment).is_err(), "{segment}");
    }
    assert_eq!(decode_path_segment("a+b%2fc%2F").unwrap(), "a+b/c/");
    assert!(Identifier::from_path_segment("a%20b").is_err());
}

#[test]
fn plain_tags() {
    for (text, tag) in [
        ("urn:uuid:bd3d29b6-0d1d-4d4e-8a0b-0e4f6c6b2a11", "urn_uuid_bd3d29b6-0d1d-4d4e-8a0b-0e4f6c6b2a11"),
        ("doi:10.18739/A2D795C92", "doi_10.18739_A2D795C92"),
        ("doi:10.5063/F1.a-b", "doi_10.5063_F1.a-b"),
        ("doi:10.1000.10/1", "doi_10.1000.10_1"),
    ] {
        assert_eq!(identifier(text).tag(), tag);
    }
}

#[test]
fn every_other_identifier_gets_a_hash() {
    // The digits are the beginning of the SHA-256 of the identifier, checked with `sha256sum`.
    for (text, readable) in [
        ("jtao.1700.1", "jtao.1700.1"),
        ("doi:10.5063/AA/evanlpettis.59.1", "doi_10.5063_AA_evanlpettis.59.1"),
        ("doi:10.5063/a_b", "doi_10.5063_a_b"),
        ("DOI:10.18739/A2D795C92", "DOI_10.18739_A2D795C92"),
        ("doi:11.1/a", "doi_11.1_a"),
        ("doi:10./a", "doi_10._a"),
        ("doi:10.1/", "doi_10.1_"),
        ("urn:uuid:1", "urn_uuid_1"),
        ("urn:uuid:bd3d29b6-0d1d-4d4e-8a0b-0e4f6c6b2a11-", "urn_uuid_bd3d29b6-0d1d-4d4e-8a0b-0e4f6c6b2a11-"),
        (".hidden", "_hidden"),
        ("-", "_"),
        ("ฉัน", "___"),
        ("doi:10.1/a-x0123456789abcdef", "doi_10.1_a-x0123456789abcdef"),
    ] {
        let tag = identifier(text).tag();
        let (start, hash) = tag.rsplit_once("-x").unwrap();
        assert_eq!(start, readable, "{text}");
        assert!(hash.len() == 16 && hash.bytes().all(|byte| byte.is_ascii_hexdigit()), "{text}: {tag}");
    }
    assert_eq!(identifier("jtao.1700.1").tag(), "jtao.1700.1-xa8241925740d5dcd");
    let long = identifier(&"é/".repeat(400)).tag();
    assert_eq!(long.len(), 128);
    assert_ne!(identifier("a/b").tag(), identifier("a:b").tag());
}

#[test]
fn a_plain_form_that_is_too_long_gets_a_hash() {
    let fits = identifier(&format!("doi:10.1/{}", "a".repeat(119)));
    assert_eq!(fits.tag().len(), 128);
    assert!(!fits.tag().contains("-x"));
    let too_long = identifier(&format!("doi:10.1/{}", "a".repeat(120)));
    assert_eq!(too_long.tag().len(), 128);
    assert!(too_long.tag().contains("-x"));
}

proptest! {
    #[test]
    fn path_segments_read_back(text in "\\PC{1,60}") {
        let encoded = encode_path_segment(&text);
        prop_assert!(encoded.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.~:@$!()',*&=%".contains(&b)));
        prop_assert_eq!(decode_path_segment(&encoded).unwrap(), text);
    }

    #[test]
    fn decoding_never_panics(segment in ".{0,60}") {
        let _ = decode_path_segment(&segment);
    }

    #[test]
    fn tags_are_valid(text in "[^\\s\\pC]{1,200}") {
        let Ok(parsed) = text.parse::<Identifier>() else { return Ok(()) };
        let tag = parsed.tag();
        prop_assert!(tag.len() <= 128);
        prop_assert!(tag.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_'));
        prop_assert!(tag.chars().all(|c| c.is_ascii_alphanumeric() || "_.-".contains(c)));
    }
}
