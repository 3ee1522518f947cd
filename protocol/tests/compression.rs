//! The codecs against what C libraries wrote, what other Kafka clients frame differently, and what nobody should have
//! written.
#![cfg(all(feature = "gzip", feature = "snappy", feature = "lz4", feature = "zstd"))]

use ottla_protocol::compression::{Compression, CompressionError, Compressor, Decompressor};

const LIMIT: usize = 1 << 20;
const REAL: [Compression; 4] = [Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd];

/// Written by python-lz4 (liblz4), python-snappy (cramjam), python-zstandard (libzstd) and zlib from [`orders`].
const FOREIGN: [(&str, Compression, &str); 7] = [
    (
        "lz4: linked blocks, block checksums, content size and checksum",
        Compression::Lz4,
        "04224d187c409e000000000000005749000000f20b7b226964223a302c226e616d65223a226f726465722030227d0a1a001b311a0015\
         311a001b321a0015341a001b331a0015391a001b341a002531361b001b351b00503235227d0a0e1bfe2b000000002f9f3bfa",
    ),
    (
        "lz4: content size",
        Compression::Lz4,
        "04224d1868409e00000000000000d449000000f20b7b226964223a302c226e616d65223a226f726465722030227d0a1a001b311a0015\
         311a001b321a0015341a001b331a0015391a001b341a002531361b001b351b00503235227d0a00000000",
    ),
    (
        "snappy: raw, as librdkafka and franz-go send it",
        Compression::Snappy,
        "9e01647b226964223a302c226e616d65223a226f726465722030227d0a091a00313a1a000031151a00323a1a000034151a00333a1a00\
         0039151a00343a1a00043136151b00353a1b00103235227d0a",
    ),
    (
        "zstd: content size and checksum",
        Compression::Zstd,
        "28b52ffd249e15020094027b226964223a302c226e616d65223a226f726465722030227d0a313132343339343136353235227d0a0a00\
         d0051b0a049d8142403f5030d00514073ab38789079b0ab38c",
    ),
    (
        "zstd: level 19, streamed, no size",
        Compression::Zstd,
        "28b52ffd006805020094027b226964223a302c226e616d65223a226f726465722030227d0a313132343339343136353235227d0a0a20\
         a0e30374e105eaac907e0bd6a5b83ab3878f07",
    ),
    (
        "gzip: a file name and a time",
        Compression::Gzip,
        "1f8b080847fea85d02ff6f72646572732e6a736f6e6c00ab56ca4c51b232d051ca4bcc4d55b252ca2f4a492d523050aae5aa06cb18a2\
         c918c2658cd0644ce032c668329670191374d3cce052a6685246a64029003a6268559e000000",
    ),
    (
        "gzip: every optional header field",
        Compression::Gzip,
        "1f8b081e0000000000030400414278796e616d6500636f6d6d656e7400e374ab56ca4c51b232d051ca4bcc4d55b252ca2f4a492d5230\
         50aae5aa06cb18a2c918c2658cd0644ce032c668329670191374d3cce052a6685246a64029003a6268559e000000",
    ),
];

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|i| u8::from_str_radix(&text[i..i + 2], 16).expect("hex")).collect()
}

fn orders(count: u32) -> Vec<u8> {
    (0..count)
        .flat_map(|i| format!("{{\"id\":{i},\"name\":\"order {}\"}}\n", u64::from(i).pow(2)).into_bytes())
        .collect()
}

fn compress(codec: Compression, data: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    Compressor::new().compress(codec, None, data, &mut out).expect("compresses");
    out
}

fn read(codec: Compression, data: &[u8]) -> Result<Vec<u8>, CompressionError> {
    Decompressor::new().decompress(codec, data, LIMIT).map(Vec::from)
}

fn refusal(codec: Compression, data: &[u8]) -> String {
    read(codec, data).expect_err("it has to be refused").to_string()
}

/// The generator of Numerical Recipes: enough to flip bits with.
fn noise(seed: u32) -> impl Iterator<Item = u32> {
    let mut state = seed;
    std::iter::repeat_with(move || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state >> 8
    })
}

#[test]
fn what_c_libraries_write_is_read() {
    for (what, codec, bytes) in FOREIGN {
        assert_eq!(read(codec, &unhex(bytes)).as_deref(), Ok(&orders(6)[..]), "{what}");
    }
}

#[test]
fn what_c_libraries_write_is_refused_wherever_it_is_cut() {
    for (what, codec, bytes) in FOREIGN {
        let bytes = unhex(bytes);
        // Kafka's lz4 reader does not look at what follows the end mark: the content checksum may miss.
        let end = bytes.len() - if what.contains("linked") { 4 } else { 0 };
        for cut in 1..end {
            let error = read(codec, &bytes[..cut]).expect_err(what);
            assert!(matches!(error, CompressionError::Corrupt { .. }), "{what}, cut at {cut}: {error}");
        }
    }
}

#[test]
fn our_own_data_is_never_read_as_whole_when_it_is_cut() {
    // Beyond a block of each codec that has blocks.
    let data = orders(3_000);
    for codec in REAL {
        let good = compress(codec, &data);
        let mut decompressor = Decompressor::new();
        let near = |cut: usize| cut < 300 || cut + 300 > good.len();
        for cut in (1..good.len()).filter(|cut| near(*cut) || cut % 41 == 0) {
            match decompressor.decompress(codec, &good[..cut], LIMIT) {
                Err(CompressionError::Corrupt { .. }) => {}
                // Xerial's framing has no end mark: between two blocks a cut does not show, here.
                Ok(less) if codec == Compression::Snappy => assert!(less.len() < data.len() && data.starts_with(&less)),
                other => panic!("{codec} cut at {cut}: {other:?}"),
            }
        }
    }
}

#[test]
fn flipped_bits_give_an_error_or_bounded_bytes_and_leave_the_context_usable() {
    let data = orders(400);
    for codec in REAL {
        let good = compress(codec, &data);
        let mut decompressor = Decompressor::new();
        let mut random = noise(3);
        for round in 0..4_000 {
            let mut bad = good.clone();
            for _ in 0..=round % 3 {
                let bit = random.next().expect("endless") as usize % (bad.len() * 8);
                bad[bit / 8] ^= 1 << (bit % 8);
            }
            let limit = [data.len() / 2, data.len(), LIMIT][round % 3];
            match decompressor.decompress(codec, &bad, limit) {
                Ok(bytes) => assert!(bytes.len() <= limit, "{codec}"),
                Err(error) => assert!(!error.to_string().is_empty()),
            }
        }
        assert_eq!(decompressor.decompress(codec, &good, LIMIT).expect("still usable"), data, "{codec}");
    }
}

#[test]
fn the_limit_is_kept_to_the_byte_and_no_memory_is_set_aside_beyond_it() {
    for codec in REAL {
        for len in [1, 100, 32 << 10, 64 << 10, (64 << 10) + 1, 300_000] {
            let data = &orders(20_000)[..len];
            let packed = compress(codec, data);
            let mut decompressor = Decompressor::new();
            let whole = decompressor.decompress(codec, &packed, len).expect("at the limit");
            assert!(whole == data, "{codec} {len}");
            let over = decompressor.decompress(codec, &packed, len - 1);
            assert_eq!(over, Err(CompressionError::OverLimit { codec, limit: len - 1 }), "{codec} {len}");
            // A buffer given back shows how much was set aside.
            let room = Vec::from(whole.try_into_mut().expect("nobody else has it")).capacity();
            assert!(room <= len, "{codec} set {room} bytes aside for {len}");
        }
    }
}

#[test]
fn a_size_that_is_a_lie_sets_no_memory_aside() {
    // 4 GiB less one byte of raw snappy in five bytes.
    assert!(refusal(Compression::Snappy, &[0xff, 0xff, 0xff, 0xff, 0x0f]).contains("limit of 1048576"));
    // 1 MiB in four, within the limit.
    assert!(refusal(Compression::Snappy, &[0x80, 0x80, 0x40, 0]).contains("claims more bytes"));
    // A zstd frame of one segment that states 1 TiB.
    let mut zstd = vec![0x28, 0xb5, 0x2f, 0xfd, 0xe0];
    zstd.extend((1_u64 << 40).to_le_bytes());
    zstd.extend([1, 0, 0]);
    assert!(read(Compression::Zstd, &zstd).is_err());
    // A window of 256 MiB.
    assert!(read(Compression::Zstd, &[0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x90, 1, 0, 0]).is_err());
    // The same frame with a window of 1 MiB is an empty one.
    assert_eq!(read(Compression::Zstd, &[0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x50, 1, 0, 0]).as_deref(), Ok(&[][..]));
}

#[test]
fn nothing_is_nothing_with_every_codec_both_ways() {
    for codec in Compression::ALL {
        assert!(compress(codec, b"").is_empty(), "{codec}");
        assert_eq!(read(codec, b"").as_deref(), Ok(&[][..]), "{codec}");
    }
}

#[test]
fn a_used_context_writes_what_a_new_one_writes() {
    let mut used = Compressor::new();
    let (long, short) = (orders(5_000), orders(3));
    for codec in REAL {
        for data in [&long, &short, &long] {
            for level in codec.levels().map_or(vec![None], |_| vec![None, Some(1), Some(7)]) {
                let (mut again, mut fresh) = (Vec::new(), Vec::new());
                used.compress(codec, level, data, &mut again).expect("compresses");
                Compressor::new().compress(codec, level, data, &mut fresh).expect("compresses");
                assert!(again == fresh, "{codec} level {level:?}");
                assert!(read(codec, &again).expect("reads") == *data);
            }
        }
    }
}

#[test]
fn framing_is_what_kafkas_readers_expect() {
    let data = orders(2_000);
    let snappy = compress(Compression::Snappy, &data);
    assert_eq!(snappy[..16], [0x82, b'S', b'N', b'A', b'P', b'P', b'Y', 0, 0, 0, 0, 1, 0, 0, 0, 1]);
    let block = 20 + i32::from_be_bytes(snappy[16..20].try_into().expect("four")) as usize;
    let first = snap::raw::Decoder::new().decompress_vec(&snappy[20..block]).expect("a raw block");
    assert_eq!(first, data[..32 << 10], "blocks of 32 KiB");
    let lz4 = compress(Compression::Lz4, &data);
    assert_eq!(lz4[..7], [0x04, 0x22, 0x4d, 0x18, 0x60, 0x40, 0x82], "as lz4-java writes it");
    assert_eq!(lz4[lz4.len() - 4..], [0; 4], "an end mark");
    assert_eq!(compress(Compression::Gzip, &data)[..3], [0x1f, 0x8b, 8]);
    assert_eq!(compress(Compression::Zstd, &data)[..4], [0x28, 0xb5, 0x2f, 0xfd]);
}

#[test]
fn snappy_is_told_from_xerial_by_the_whole_header() {
    // 130 bytes are 0x82 0x01: a raw block with the first byte of the framing.
    let data: Vec<u8> = noise(5).map(|random| random as u8).take(130).collect();
    let raw = snap::raw::Encoder::new().compress_vec(&data).expect("compresses");
    assert!(raw[0] == 0x82 && raw.len() > 16);
    assert_eq!(read(Compression::Snappy, &raw), Ok(data));
    let framed = compress(Compression::Snappy, &orders(2_000));
    let several = [&framed[..], &framed[..16], &framed[..]].concat();
    assert_eq!(read(Compression::Snappy, &several), Ok(orders(2_000).repeat(2)), "an empty stream in between too");
    let mut negative = framed.clone();
    negative[16] = 0x80;
    assert!(refusal(Compression::Snappy, &negative).contains("negative"));
}

#[test]
fn lz4_blocks_that_lean_on_those_before_are_read() {
    // Version 1, linked blocks of 64 KiB, nothing else; its checksum.
    let mut frame = vec![0x04, 0x22, 0x4d, 0x18, 0x40, 0x40, 0xc0];
    let data = orders(9_000);
    let mut at = 0;
    for block in data.chunks(64 << 10) {
        let before = &data[at.max(64 << 10) - (64 << 10)..at];
        let packed = lz4_flex::block::compress_with_dict(block, before);
        assert!(packed.len() < block.len());
        frame.extend((packed.len() as u32).to_le_bytes());
        frame.extend(packed);
        at += block.len();
    }
    frame.extend([0; 4]);
    assert!(read(Compression::Lz4, &frame).expect("reads") == data);
    // As if each stood alone, it is something else or nothing.
    (frame[4], frame[6]) = (0x60, 0x82);
    assert!(read(Compression::Lz4, &frame).map_or(true, |other| other != data));
}

#[test]
fn lz4_headers_that_no_reader_knows_are_refused_by_name() {
    let good = compress(Compression::Lz4, b"text");
    let with = |at: usize, byte: u8| {
        let mut bad = good.clone();
        bad[at] = byte;
        refusal(Compression::Lz4, &bad)
    };
    assert!(with(0, 5).contains("no LZ4 frame"));
    assert!(with(4, 0xa0).contains("version"));
    assert!(with(4, 0x61).contains("dictionary"));
    assert!(with(5, 0x30).contains("block size"));
    assert!(with(5, 0x41).contains("reserved"));
    assert!(with(6, 0x83).contains("checksum"));
    // The quirk of KAFKA-3160 belongs to magic 0 and to nothing else.
    assert!(with(6, 0x1a).contains("checksum"));
    let mut long = good.clone();
    long[7..11].copy_from_slice(&0x8001_0001_u32.to_le_bytes());
    assert!(refusal(Compression::Lz4, &long).contains("longer than the frame allows"));
}

#[test]
fn a_gzip_trailer_that_does_not_match_is_an_error() {
    let good = compress(Compression::Gzip, &orders(10));
    for back in 1..=8 {
        let mut bad = good.clone();
        let at = bad.len() - back;
        bad[at] ^= 1;
        assert!(refusal(Compression::Gzip, &bad).contains("trailer"), "{back} bytes from the end");
    }
    let several = [compress(Compression::Gzip, b"one "), compress(Compression::Gzip, b"two")].concat();
    assert_eq!(read(Compression::Gzip, &several), Ok(b"one two".to_vec()));
    assert!(refusal(Compression::Gzip, &[&several[..], b"x"].concat()).contains("no gzip header"));
}

#[test]
fn zstd_frames_follow_one_another_and_a_size_that_is_not_met_is_an_error() {
    let (_, _, sized) = FOREIGN[3];
    let (_, _, streamed) = FOREIGN[4];
    let skippable = "5a2a4d1803000000ffffff";
    let several = unhex(&[skippable, sized, streamed, skippable, sized].concat());
    assert_eq!(read(Compression::Zstd, &several), Ok(orders(6).repeat(3)));
    assert!(refusal(Compression::Zstd, &unhex("5a2a4d1804000000ffffff")).contains("skippable"));
    let mut short = unhex(sized);
    short[5] -= 1;
    assert!(read(Compression::Zstd, &short).is_err(), "it states one byte less than it holds");
}

#[test]
fn a_zstd_bomb_that_does_not_state_its_size_stops_at_the_limit() {
    let streamed = unhex(FOREIGN[4].2);
    for (limit, fits) in [(157, false), (158, true)] {
        assert_eq!(Decompressor::new().decompress(Compression::Zstd, &streamed, limit).is_ok(), fits, "{limit}");
    }
    // A thousand blocks that each repeat one byte 128 Ki times: 4 kB for 128 MiB.
    let block = |last: u32| [&((128_u32 << 10) << 3 | 1 << 1 | last).to_le_bytes()[..3], b"z"].concat();
    let mut bomb = vec![0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x50];
    bomb.extend(block(0).repeat(1_000));
    bomb.extend(block(1));
    for limit in [0, 1, 1_000, (128 << 10) - 1, 128 << 10, (128 << 10) + 1, LIMIT] {
        let error = Decompressor::new().decompress(Compression::Zstd, &bomb, limit).expect_err("over the limit");
        assert_eq!(error, CompressionError::OverLimit { codec: Compression::Zstd, limit });
    }
}
