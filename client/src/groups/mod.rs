//! Consumer groups: who is in them, and being the only member of one.

mod sole_member;

use ottla_protocol::ErrorCode;
use ottla_protocol::messages::{
    DescribeGroupsRequest, DescribedGroup, DescribedGroupMember, LeaveGroupRequest, Message,
};

use crate::client::Client;
use crate::core::membership::user_data_of;
use crate::error::{Error, ErrorKind};
use crate::net::Lane;
use crate::offsets::commit::in_group;

pub use sole_member::{JoinedAlone, SoleMember, SoleMemberOptions};

/// A consumer group as its coordinator describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct GroupDescription {
    /// `Stable`, `PreparingRebalance`, `CompletingRebalance`, `Empty`, or `Dead` for a group that does not exist.
    pub state: String,
    /// `consumer` for consumers; empty for a group that never had members.
    pub protocol_type: String,
    /// Its members.
    pub members: Vec<GroupMember>,
}

/// A member of a consumer group.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct GroupMember {
    /// The id that the coordinator gave it.
    pub member_id: String,
    /// Its client id.
    pub client_id: String,
    /// The address that it joined from.
    pub client_host: String,
    /// The [`SoleMemberOptions::user_data`] of a [`SoleMember`]; `None` for other members, and unless the group is stable.
    pub user_data: Option<Vec<u8>>,
}

impl Client {
    /// A consumer group's state and members. A group that does not exist has the state `Dead` and no members.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let broker = ottla_devbroker::DevBroker::builder().start().await?;
    /// # let client = ottla_client::Client::builder().bootstrap(broker.bootstrap()).connect().await?;
    /// let group = client.describe_group("billing").await?;
    /// assert!(group.state == "Dead" && group.members.is_empty());
    /// # Ok(())
    /// # }
    /// ```
    pub async fn describe_group(&self, group: &str) -> Result<GroupDescription, Error> {
        let request = DescribeGroupsRequest { groups: vec![group.to_owned()], ..DescribeGroupsRequest::default() };
        let code = |answer: &<DescribeGroupsRequest as ottla_protocol::messages::Request>::Response| {
            answer.groups.first().map_or(ErrorCode::NONE, |group| group.error_code)
        };
        let versions = DescribeGroupsRequest::VERSIONS;
        let answer = self.cluster.ask_coordinator(group, versions, |_| request.clone(), code).await;
        let answer = answer.map_err(|error| in_group(error, group))?;
        let Some(described) = answer.groups.into_iter().next() else {
            let error = Error::new(ErrorKind::Protocol, "the answer does not speak of the group");
            return Err(in_group(error.in_api(DescribeGroupsRequest::KEY), group));
        };
        Ok(described.into())
    }

    /// Leaves the group for a member, once.
    async fn leave_group(&self, group: &str, member_id: &str) -> Result<(), Error> {
        let timeout = self.cluster.options().request_timeout;
        let node = self.cluster.coordinator(group, timeout).await?;
        let request = LeaveGroupRequest { group_id: group.to_owned(), member_id: member_id.to_owned() };
        let versions = LeaveGroupRequest::VERSIONS;
        let answer = self.cluster.ask_node(&node, Lane::Other, versions, |_| request.clone(), timeout).await?;
        match answer.error_code {
            ErrorCode::NONE | ErrorCode::UNKNOWN_MEMBER_ID => Ok(()),
            code => Err(Error::from_code(code).in_api(LeaveGroupRequest::KEY).on_broker(node.to_string())),
        }
    }
}

impl From<DescribedGroup> for GroupDescription {
    fn from(group: DescribedGroup) -> Self {
        let members = group.members.into_iter().map(GroupMember::from).collect();
        Self { state: group.group_state, protocol_type: group.protocol_type, members }
    }
}

impl From<DescribedGroupMember> for GroupMember {
    fn from(member: DescribedGroupMember) -> Self {
        Self {
            user_data: user_data_of(&member.member_id, &member.member_metadata, member.member_assignment)
                .map(|said| said.to_vec()),
            member_id: member.member_id,
            client_id: member.client_id,
            // Java's way to write an address without a name.
            client_host: member.client_host.trim_start_matches('/').to_owned(),
        }
    }
}
