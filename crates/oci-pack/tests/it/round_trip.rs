//! A packed archive reads back, whole and in pieces. Its bytes do not depend on the machine.

use std::io::Read;

use oci_pack::{
    Compression, MemberReader, ReadOptions, entries_with_directories, members_covering, tar_layout,
};
use proptest::collection::{btree_map, vec};
use proptest::prelude::{Just, Strategy, any, prop_assert, prop_assert_eq, prop_oneof, proptest};
use proptest::test_runner::Config;

use crate::support::{Event, MemoryFile, csv, noise, pack_files, read_all};

const COMPRESSIONS: [Compression; 3] = [Compression::Gzip, Compression::Zstd, Compression::None];

fn content() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => vec(any::<u8>(), 0..2000),
        1 => (any::<u64>(), 0..1_500_000_usize).prop_map(|(seed, length)| noise(seed, length)),
        1 => (0..40_000_usize).prop_map(csv),
    ]
}

/// Names that nest, with characters that need an extended header. No name is the directory of another.
fn files() -> impl Strategy<Value = Vec<MemoryFile>> {
    let directory = prop_oneof![Just("data".to_owned()), "[a-z]{1,3}", "[a-zé文 ]{20,90}"];
    let path = (vec(directory, 0..4), "[a-z0-9.é]{1,30}")
        .prop_map(|(directories, name)| [directories.join("/"), format!("f-{name}")].join("/"))
        .prop_map(|path| path.trim_start_matches('/').to_owned());
    btree_map(path, content(), 0..9).prop_map(|map| map.into_iter().collect())
}

fn shown_files(events: Vec<Event>) -> Vec<MemoryFile> {
    events
        .into_iter()
        .filter_map(|event| match event {
            Event::File(path, content) => Some((path, content)),
            _ => None,
        })
        .collect()
}

proptest! {
    #![proptest_config(Config { cases: 24, ..Config::default() })]

    #[test]
    fn packed_files_read_back(files in files()) {
        for compression in COMPRESSIONS {
            let (packed, blob) = pack_files(&files, compression, 2);
            prop_assert_eq!(packed.blob_size, blob.len() as u64);
            prop_assert_eq!(&packed.blob_digest, &oci_model::Digest::sha256_of(&blob));
            let (events, summary) = read_all(&blob, &ReadOptions::new("pkg")).unwrap();
            prop_assert_eq!(summary.compression, compression);
            prop_assert_eq!(summary.tar_digest.unwrap(), packed.tar_digest);
            prop_assert_eq!(summary.tar_size, packed.tar_size);
            prop_assert!(shown_files(events) == files);
        }
    }

    #[test]
    fn any_number_of_threads_gives_the_same_bytes(files in files(), threads in 2..6_usize) {
        for compression in COMPRESSIONS {
            prop_assert!(pack_files(&files, compression, 1) == pack_files(&files, compression, threads));
        }
    }

    #[test]
    fn the_layout_tells_where_everything_is(files in files()) {
        let entries = entries_with_directories("pkg", files.iter().map(|(path, content)| (path.as_str(), content.len() as u64)));
        let layout = tar_layout(&entries).unwrap();
        let (packed, tar) = pack_files(&files, Compression::None, 1);
        prop_assert_eq!(layout.size, tar.len() as u64);
        prop_assert_eq!(packed.tar_digest, packed.blob_digest);
        for (offset, (_, content)) in packed.data_offsets.iter().zip(&files) {
            prop_assert!(layout.data_offsets.contains(offset));
            let start = usize::try_from(*offset).unwrap();
            prop_assert!(tar[start..start + content.len()] == content[..]);
        }
        prop_assert_eq!(packed.data_offsets.len(), files.len());
    }

    #[test]
    fn any_range_reads_alone(files in files(), from in any::<f64>(), part in any::<f64>()) {
        let (_, tar) = pack_files(&files, Compression::None, 1);
        let fraction = |number: f64, of: usize| {
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss, reason = "a place in a small archive")]
            let place = (number.abs().fract() * of as f64) as usize;
            place
        };
        let start = fraction(if from.is_finite() { from } else { 0.5 }, tar.len());
        let end = start + fraction(if part.is_finite() { part } else { 0.5 }, tar.len() - start);
        for compression in COMPRESSIONS {
            let (packed, blob) = pack_files(&files, compression, 2);
            let covering = members_covering(&packed.members, start as u64..end as u64).unwrap();
            let compressed = usize::try_from(covering.compressed.start).unwrap()..usize::try_from(covering.compressed.end).unwrap();
            let mut bytes = Vec::new();
            MemberReader::new(&blob[compressed], compression, &covering).unwrap().read_to_end(&mut bytes).unwrap();
            prop_assert!(bytes == tar[start..end], "{start}..{end}");
        }
    }

    #[test]
    fn members_are_neither_small_nor_large(files in files()) {
        let (packed, _) = pack_files(&files, Compression::Zstd, 2);
        for (index, member) in packed.members.iter().enumerate() {
            prop_assert!(member.tar_length <= 1 << 20);
            prop_assert!(member.tar_length >= 256 << 10 || index + 1 == packed.members.len());
        }
        prop_assert_eq!(packed.members.iter().map(|member| member.tar_length).sum::<u64>(), packed.tar_size);
    }
}

#[test]
fn a_file_of_up_to_three_quarters_of_a_member_lies_in_one_member() {
    let files: Vec<MemoryFile> =
        (0..40).map(|number| (format!("{number:02}"), noise(number, 700_000))).collect();
    let (packed, _) = pack_files(&files, Compression::Gzip, 2);
    for offset in &packed.data_offsets {
        let holds = |member: &&oci_pack::Member| {
            member.tar_offset < offset + 700_000 && *offset < member.tar_offset + member.tar_length
        };
        assert_eq!(packed.members.iter().filter(holds).count(), 1, "{offset}");
    }
}
