//! What a datagram is answered (RFC 1035, 2308, 6891).
//!
//! All that is known is in the [`Zone`]: no recursion, no other class than IN, no other operation than
//! QUERY. An answer always fits the 512 bytes that every client takes.

use bytes::{Bytes, BytesMut};
use domain::base::iana::{Class, Opcode, OptRcode, Rtype};
use domain::base::message_builder::{AdditionalBuilder, AuthorityBuilder, PushError};
use domain::base::name::{Name as AnyName, ParsedName};
use domain::base::opt::Opt;
use domain::base::wire::ParseError;
use domain::base::{
    Header, Message, MessageBuilder, Question, RecordSection, Serial, StaticCompressor, Ttl,
};
use domain::rdata::{A, Aaaa, Soa};

use super::zone::{Addresses, Found, Zone};

/// How long an answer is good, and how long that there is none.
const TTL: Ttl = Ttl::from_secs(300);
/// The most that an answer takes.
const ANSWER_BYTES: usize = 512;
/// What we say that we take (the DNS flag day's size); every question is shorter.
const OUR_BYTES: u16 = 1232;

/// The answer to this datagram. `None`: it is not answered, since it is too short to have an id, or is
/// itself an answer, which would go back and forth for ever.
pub fn answer(zone: &Zone, datagram: &[u8]) -> Option<Bytes> {
    let message = Message::from_slice(datagram).ok()?;
    let header = message.header();
    if header.qr() {
        return None;
    }
    let reply = match Query::parse(message) {
        Ok(query) => query.reply(zone, header),
        Err(_) if header.opcode() != Opcode::QUERY => Reply::bare(header, OptRcode::NOTIMP),
        Err(_) => Reply::bare(header, OptRcode::FORMERR),
    };
    Some(reply.compose(zone).expect("a buffer grows"))
}

/// A line about an answer: the question and what became of it.
pub fn describe(answer: &[u8]) -> String {
    let Ok(message) = Message::from_slice(answer) else {
        return "nothing".into();
    };
    let rcode = message.opt_rcode();
    let count = message.header_counts().ancount();
    match message.first_question() {
        Some(question) => {
            let (name, class, rtype) = (question.qname(), question.qclass(), question.qtype());
            format!("{name} {class} {rtype}: {rcode}, {count} records")
        }
        None => format!("no question: {rcode}"),
    }
}

/// What was asked.
struct Query<'a> {
    question: Question<ParsedName<&'a [u8]>>,
    edns: Option<Edns>,
}

/// What an OPT record says.
#[derive(Clone, Copy)]
struct Edns {
    version: u8,
    dnssec_ok: bool,
}

impl<'a> Query<'a> {
    /// Reads the whole message, so that no part of it can be nonsense.
    fn parse(message: &'a Message<[u8]>) -> Result<Self, ParseError> {
        let question = message.sole_question()?;
        let (_, answers, authorities, additional) = message.sections()?;
        read(answers)?;
        read(authorities)?;
        let mut edns = None;
        for record in additional {
            let record = record?;
            if record.rtype() != Rtype::OPT {
                continue;
            }
            // At most one, and with the root's name (RFC 6891, 6.1.1).
            if edns.is_some() || !record.owner().is_root() {
                return Err(ParseError::form_error("a wrong OPT record"));
            }
            let ttl = record.ttl().as_secs();
            let [_, version, flags, _] = ttl.to_be_bytes();
            record.into_record::<Opt<_>>()?;
            edns = Some(Edns {
                version,
                dnssec_ok: flags & 0x80 != 0,
            });
        }
        Ok(Self { question, edns })
    }

    fn reply<'z>(self, zone: &'z Zone, header: Header) -> Reply<'a, 'z> {
        let (rcode, content) = self.look_up(zone, header);
        Reply {
            header,
            question: Some(self.question),
            edns: self.edns,
            rcode,
            content,
        }
    }

    fn look_up<'z>(&self, zone: &'z Zone, header: Header) -> (OptRcode, Content<'z>) {
        if self.edns.is_some_and(|edns| edns.version > 0) {
            return (OptRcode::BADVERS, Content::None);
        }
        if header.opcode() != Opcode::QUERY {
            return (OptRcode::NOTIMP, Content::None);
        }
        let rtype = self.question.qtype();
        // A transfer is for TCP, and for friends.
        if self.question.qclass() != Class::IN || matches!(rtype, Rtype::AXFR | Rtype::IXFR) {
            return (OptRcode::REFUSED, Content::None);
        }
        let name = self.question.qname();
        match zone.find(name) {
            Found::Outside => (OptRcode::REFUSED, Content::None),
            Found::Nothing => (OptRcode::NXDOMAIN, Content::Nothing),
            Found::Name(addresses) => {
                let is_origin = name == zone.origin();
                let wants = |one| rtype == one || rtype == Rtype::ANY;
                let soa = is_origin && wants(Rtype::SOA);
                let a = wants(Rtype::A) && !addresses.v4.is_empty();
                let aaaa = wants(Rtype::AAAA) && !addresses.v6.is_empty();
                let content = if soa || a || aaaa {
                    Content::Records(Records {
                        soa,
                        a,
                        aaaa,
                        addresses,
                    })
                } else {
                    Content::Nothing
                };
                (OptRcode::NOERROR, content)
            }
        }
    }
}

/// What is answered.
struct Reply<'q, 'z> {
    /// That of the question.
    header: Header,
    question: Option<Question<ParsedName<&'q [u8]>>>,
    edns: Option<Edns>,
    rcode: OptRcode,
    content: Content<'z>,
}

enum Content<'z> {
    /// We have no say in it.
    None,
    /// There is nothing, and we know: with the SOA record that says for how long (RFC 2308).
    Nothing,
    Records(Records<'z>),
}

struct Records<'z> {
    soa: bool,
    a: bool,
    aaaa: bool,
    addresses: &'z Addresses,
}

type Target = StaticCompressor<BytesMut>;

impl Reply<'_, '_> {
    fn bare(header: Header, rcode: OptRcode) -> Self {
        Self {
            header,
            question: None,
            edns: None,
            rcode,
            content: Content::None,
        }
    }

    fn compose(&self, zone: &Zone) -> Result<Bytes, PushError> {
        let target = StaticCompressor::new(BytesMut::with_capacity(ANSWER_BYTES));
        let Ok(mut builder) = MessageBuilder::from_target(target);
        let header = builder.header_mut();
        header.set_id(self.header.id());
        header.set_qr(true);
        header.set_opcode(self.header.opcode());
        header.set_rd(self.header.rd());
        header.set_aa(!matches!(self.content, Content::None));
        header.set_rcode(self.rcode.rcode());
        let mut questions = builder.question();
        if let Some(question) = &self.question {
            questions.push(question)?;
        }
        let mut answers = questions.answer();
        if let (Content::Records(records), Some(question)) = (&self.content, &self.question) {
            let name = question.qname();
            if records.soa {
                answers.push((name, Class::IN, TTL, soa(zone)))?;
            }
            let Addresses { v4, v6 } = records.addresses;
            for address in v4.iter().filter(|_| records.a) {
                answers.push((name, Class::IN, TTL, A::new(*address)))?;
            }
            for address in v6.iter().filter(|_| records.aaaa) {
                answers.push((name, Class::IN, TTL, Aaaa::new(*address)))?;
            }
        }
        let mut authority: AuthorityBuilder<Target> = answers.authority();
        if matches!(self.content, Content::Nothing) {
            authority.push((zone.origin(), Class::IN, TTL, soa(zone)))?;
        }
        let mut additional = authority.additional();
        if let Some(edns) = self.edns {
            push_edns(&mut additional, edns, self.rcode)?;
        }
        Ok(additional.finish().into_target().freeze())
    }
}

fn push_edns(
    additional: &mut AdditionalBuilder<Target>,
    edns: Edns,
    rcode: OptRcode,
) -> Result<(), PushError> {
    additional.opt(|opt| {
        opt.set_udp_payload_size(OUR_BYTES);
        opt.set_rcode(rcode);
        opt.set_dnssec_ok(edns.dnssec_ok);
        Ok(())
    })
}

/// The record that every zone has; nobody transfers this one, so most of its numbers are of no use.
fn soa(zone: &Zone) -> Soa<impl domain::base::ToName> {
    let below = |label: &'static str| {
        let label = AnyName::<Bytes>::bytes_from_str(label).expect("a short name");
        label.into_relative().chain(zone.origin().clone())
    };
    let [server, mailbox] =
        ["ns", "hostmaster"].map(|label| below(label).expect("a zone's name leaves room"));
    let day = Ttl::from_secs(24 * 60 * 60);
    Soa::new(server, mailbox, Serial(1), day, day, day, TTL)
}

/// Looks at every record of a section.
fn read(section: RecordSection<'_, [u8]>) -> Result<(), ParseError> {
    for record in section {
        record?;
    }
    Ok(())
}
