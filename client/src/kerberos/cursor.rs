//! Reading the files that Kerberos keeps, every length checked against what is there.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use zeroize::Zeroizing;

use super::error::{KerberosError, Malformed};

/// Which byte of a number comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    /// The highest: what all versions but the oldest have.
    Network,
    /// Whichever this machine has: the oldest versions were copied from memory.
    Host,
}

/// Goes through a file's bytes; an error says in which field of what, and at which byte.
#[derive(Debug)]
pub(super) struct Cursor<'a> {
    what: &'static str,
    bytes: &'a [u8],
    at: usize,
    pub(super) order: Order,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(what: &'static str, bytes: &'a [u8]) -> Self {
        Self { what, bytes, at: 0, order: Order::Network }
    }

    pub(super) fn left(&self) -> usize {
        self.bytes.len() - self.at
    }

    pub(super) fn wrong(&self, field: &'static str, problem: &'static str) -> Malformed {
        Malformed { what: self.what, field, at: self.at, problem }
    }

    pub(super) fn take(&mut self, field: &'static str, count: usize) -> Result<&'a [u8], Malformed> {
        if count > self.left() {
            return Err(self.wrong(field, "is longer than what is left"));
        }
        let taken = &self.bytes[self.at..self.at + count];
        self.at += count;
        Ok(taken)
    }

    /// A part that is read on its own; its errors still count from the file's start.
    pub(super) fn part(&mut self, field: &'static str, count: usize) -> Result<Self, Malformed> {
        let at = self.at;
        self.take(field, count)?;
        Ok(Self { what: self.what, bytes: &self.bytes[..at + count], at, order: self.order })
    }

    pub(super) fn u8(&mut self, field: &'static str) -> Result<u8, Malformed> {
        self.take(field, 1).map(|bytes| bytes[0])
    }

    pub(super) fn u16(&mut self, field: &'static str) -> Result<u16, Malformed> {
        let taken = self.take(field, 2)?;
        let bytes = [taken[0], taken[1]];
        Ok(if self.order == Order::Network { u16::from_be_bytes(bytes) } else { u16::from_ne_bytes(bytes) })
    }

    pub(super) fn u32(&mut self, field: &'static str) -> Result<u32, Malformed> {
        let taken = self.take(field, 4)?;
        let bytes = [taken[0], taken[1], taken[2], taken[3]];
        Ok(if self.order == Order::Network { u32::from_be_bytes(bytes) } else { u32::from_ne_bytes(bytes) })
    }

    /// Bytes behind a count of 16 bits.
    pub(super) fn counted16(&mut self, field: &'static str) -> Result<&'a [u8], Malformed> {
        let count = self.u16(field)?;
        self.take(field, count.into())
    }

    /// Bytes behind a count of 32 bits.
    pub(super) fn counted32(&mut self, field: &'static str) -> Result<&'a [u8], Malformed> {
        let count = self.u32(field)?;
        self.take(field, count as usize)
    }
}

/// A name in a file. MIT's files say nothing about its encoding; what is not UTF-8 stays readable, and equals no name.
pub(super) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Reads a file with secrets into memory that erases itself. `what` names the file's kind in errors.
pub(super) fn read_secret(path: &Path, limit: usize, what: &str) -> Result<Zeroizing<Vec<u8>>, KerberosError> {
    let failed = |e: io::Error| KerberosError::Config(format!("the {what} {} cannot be read: {e}", path.display()));
    let file = File::open(path).map_err(failed)?;
    let size = file.metadata().map_err(failed)?.len();
    let too_large = || KerberosError::Config(format!("{} is larger than {limit} bytes: no {what}", path.display()));
    let size = usize::try_from(size).ok().filter(|size| *size <= limit).ok_or_else(too_large)?;
    // Room for all of it at once: a vector that grows leaves copies behind. What is appended meanwhile is not read.
    let mut bytes = Zeroizing::new(Vec::with_capacity(size));
    file.take(size as u64).read_to_end(&mut bytes).map_err(failed)?;
    Ok(bytes)
}
