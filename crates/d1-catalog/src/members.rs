//! Lists of archive members as compact bytes.

use oci_pack::Member;

/// How many members of an archive are kept. A longer list is left out, and its files are read by the package's index.
const MOST_MEMBERS: usize = 1 << 20;

/// Returns the members as bytes: the first offsets, then the lengths, as LEB128 numbers.
///
/// Members follow each other without gaps, as the index of a package demands.
pub(crate) fn encode(members: &[Member]) -> Option<Vec<u8>> {
    let first = members.first()?;
    if members.len() > MOST_MEMBERS {
        return None;
    }
    let mut bytes = Vec::new();
    put(&mut bytes, first.offset);
    put(&mut bytes, first.tar_offset);
    for member in members {
        put(&mut bytes, member.length);
        put(&mut bytes, member.tar_length);
    }
    Some(bytes)
}

/// Reads the bytes of [`encode`]. Returns `None` if they are something else.
pub(crate) fn decode(mut bytes: &[u8]) -> Option<Vec<Member>> {
    let (mut offset, mut tar_offset) = (take(&mut bytes)?, take(&mut bytes)?);
    let mut members = Vec::new();
    while !bytes.is_empty() && members.len() < MOST_MEMBERS {
        let (length, tar_length) = (take(&mut bytes)?, take(&mut bytes)?);
        members.push(Member { offset, length, tar_offset, tar_length });
        offset = offset.checked_add(length)?;
        tar_offset = tar_offset.checked_add(tar_length)?;
    }
    Some(members)
}

fn put(bytes: &mut Vec<u8>, mut number: u64) {
    loop {
        let low = u8::try_from(number & 0x7f).unwrap_or_default();
        number >>= 7;
        if number == 0 {
            bytes.push(low);
            return;
        }
        bytes.push(low | 0x80);
    }
}

fn take(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0_u64;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(byte & 0x7f).checked_shl(shift)?;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use oci_pack::Member;

    use super::{decode, encode};

    #[test]
    fn members_come_back() {
        let members = [
            Member { offset: 0, length: 300, tar_offset: 0, tar_length: 1 << 20 },
            Member { offset: 300, length: 1 << 40, tar_offset: 1 << 20, tar_length: 127 },
            Member { offset: 300 + (1 << 40), length: 128, tar_offset: (1 << 20) + 127, tar_length: 0 },
        ];
        let bytes = encode(&members).unwrap();
        assert_eq!(decode(&bytes).unwrap(), members);
        assert_eq!(bytes.len(), 2 + 2 + 3 + 6 + 1 + 2 + 1);
    }

    #[test]
    fn other_bytes_are_refused() {
        assert_eq!(decode(&[]), None);
        assert_eq!(decode(&[0x80; 20]), None);
        assert_eq!(decode(&[0, 0, 5]), None);
        let huge = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
        assert_eq!(decode(&[&huge[..], &[0, 1, 1]].concat()), None);
    }
}
