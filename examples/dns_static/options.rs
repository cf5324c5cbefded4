//! What the command line asks for.

use super::zone::Zone;

pub const USAGE: &str = "\
usage: dns_static [ADDRESS] [OPTION...] [NAME=ADDR...]    (default: 127.0.0.1:5353; port 0 takes a free one)
  NAME=ADDR    this name has this IPv4 or IPv6 address (repeatable; default: www.example.test and a few)
  --zone NAME  the zone that they are in, and that is answered for (default: example.test)
  --log        print a line for each answer
  --help       print this";

const ZONE: &str = "example.test";
/// What is answered when the command line has no addresses: those of the documentation (RFC 5737, 3849).
const RECORDS: [&str; 5] = [
    "example.test=192.0.2.1",
    "www.example.test=192.0.2.1",
    "www.example.test=192.0.2.2",
    "www.example.test=2001:db8::1",
    "mail.example.test=192.0.2.25",
];

#[derive(Debug)]
pub struct Options {
    pub address: String,
    pub zone: Zone,
    pub log: bool,
}

impl Options {
    /// `None`: help is wanted. The error says what is wrong.
    pub fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Option<Self>, String> {
        let (mut address, mut origin, mut log) = (None, None, false);
        let mut records = Vec::new();
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--help" | "-h" => return Ok(None),
                "--zone" => origin = Some(arguments.next().ok_or("--zone needs a name")?),
                "--log" => log = true,
                option if option.starts_with('-') => {
                    return Err(format!("there is no option {option}"));
                }
                record if record.contains('=') => records.push(argument),
                _ if address.is_some() => return Err(format!("{argument} is one too many")),
                _ => address = Some(argument),
            }
        }
        if records.is_empty() && origin.is_none() {
            records.extend(RECORDS.map(String::from));
        }
        let mut zone = Zone::new(origin.as_deref().unwrap_or(ZONE))?;
        records.iter().try_for_each(|record| zone.add(record))?;
        Ok(Some(Self {
            address: address.unwrap_or("127.0.0.1:5353".into()),
            zone,
            log,
        }))
    }
}
