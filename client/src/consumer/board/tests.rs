use super::*;
use crate::ErrorKind;

const A: NodeId = NodeId(1);
const B: NodeId = NodeId(2);

fn place(board: &mut Board, node: NodeId) -> Placing {
    board.place(Instant::now(), |_| Some(node))
}

fn orders() -> TopicPartition {
    TopicPartition::new("orders", 0)
}

fn asked(board: &mut Board, node: NodeId) -> (Vec<i64>, usize) {
    let mut session = FetchSession::new();
    board.brief(node, &mut session, 100);
    let ask = session.ask(true);
    (ask.partitions.iter().map(|(_, want)| want.offset).collect(), ask.forgotten.len())
}

fn board() -> Board {
    let mut board = Board::new(Duration::from_secs(10));
    board.assign(&orders(), 5, Instant::now());
    board
}

#[test]
fn a_partition_is_read_where_its_leader_is() {
    let mut board = board();
    let placing = board.place(Instant::now(), |_| None);
    assert!(placing.leaderless && placing.again.is_some() && placing.new_desks.is_empty());
    assert_eq!(place(&mut board, A).new_desks.len(), 1);
    assert_eq!(asked(&mut board, A), (vec![5], 0));
    assert!(place(&mut board, A).new_desks.is_empty());
}

#[test]
fn a_moved_leader_is_followed_and_the_old_ones_answer_is_stale() {
    let mut board = board();
    place(&mut board, A);
    board.follow_leaders(Instant::now(), |_| Some(B));
    assert_eq!(place(&mut board, B).new_desks.len(), 1);
    assert_eq!(board.arrive(A, &orders(), 5, Some(9)), Arrival::Stale);
    assert_eq!(board.arrive(B, &orders(), 5, Some(9)), Arrival::Data);
    assert_eq!(asked(&mut board, B), (vec![9], 0));
    assert_eq!(asked(&mut board, A), (vec![], 0));
    assert_eq!(board.busy_brokers(), 1);
}

#[test]
fn a_seek_voids_what_was_fetched_and_what_is_under_way() {
    let mut board = board();
    place(&mut board, A);
    let failed = Item::Failed { partition: Some(orders()), error: Error::new(ErrorKind::Corrupt, "x") };
    board.enqueue(failed);
    assert!(board.seek(&orders(), 50));
    assert!(board.pop().is_none());
    assert_eq!(board.arrive(A, &orders(), 5, Some(9)), Arrival::Stale);
    assert_eq!((board.position(&orders()), asked(&mut board, A)), (Some(50), (vec![50], 0)));
    assert!(!board.seek(&TopicPartition::new("orders", 1), 0));
}

#[test]
fn an_unassigned_partition_is_forgotten_and_its_answer_stale() {
    let mut board = board();
    place(&mut board, A);
    let mut session = FetchSession::new();
    board.brief(A, &mut session, 100);
    session.ask(true);
    session.answered(ottla_protocol::ErrorCode::NONE, 4).unwrap();
    board.unassign(&orders());
    board.brief(A, &mut session, 100);
    assert_eq!(session.ask(true).forgotten, [orders()]);
    assert_eq!(board.arrive(A, &orders(), 5, Some(9)), Arrival::Stale);
    assert_eq!((board.position(&orders()), board.busy_brokers()), (None, 0));
}

#[test]
fn a_failed_broker_is_left_alone_for_a_while_and_a_stall_is_told() {
    let mut board = board();
    let start = Instant::now();
    let error = Error::new(ErrorKind::Disconnected, "gone");
    let mut now = start;
    while board.pop().is_none() {
        assert!(now < start + Duration::from_secs(12), "a stall of 10 s is told soon after");
        board.place(now, |_| Some(A));
        board.broker_failed(A, &error, now, 0.5);
        let placing = board.place(now, |_| Some(A));
        assert!(placing.again.is_some_and(|again| again > now), "not at once again");
        now = placing.again.unwrap();
    }
    assert!(now >= start + Duration::from_secs(10));
    board.place(now, |_| Some(A));
    assert_eq!(board.arrive(A, &orders(), 5, None), Arrival::Empty);
    board.broker_failed(A, &error, now + Duration::from_mins(1), 0.5);
    assert!(board.pop().is_none(), "a good answer ended the stall");
}

#[test]
fn a_refusing_broker_is_one_error_and_halts_its_partitions() {
    let mut board = board();
    board.assign(&TopicPartition::new("orders", 1), 0, Instant::now());
    place(&mut board, A);
    board.broker_refused(A, Error::new(ErrorKind::Authentication, "no"));
    assert!(matches!(board.pop(), Some(Item::Failed { .. })));
    assert!(board.pop().is_none());
    assert_eq!(asked(&mut board, A), (vec![], 0));
    board.seek(&orders(), 6);
    assert_eq!(asked(&mut board, A), (vec![6], 0));
}

#[test]
fn an_ended_fetch_task_is_replaced() {
    let mut board = board();
    let now = Instant::now();
    board.place(now, |_| Some(A));
    board.desk_closed(A, now);
    assert_eq!(board.place(now + Duration::from_secs(1), |_| Some(A)).new_desks.len(), 1);
}

#[test]
fn an_end_is_known_only_from_an_answer_that_had_room_for_data() {
    let mut board = board();
    let mut session = FetchSession::new();
    place(&mut board, A);
    assert_eq!(board.known_end(&orders()), None, "nothing was asked");
    board.brief(A, &mut session, 100);
    board.arrive(A, &orders(), 5, None);
    board.named_end(&orders(), 9);
    assert_eq!(board.known_end(&orders()), None, "other partitions may have used up the answer");
    board.silent(A);
    assert_eq!(board.known_end(&orders()), Some(9));
    board.brief(A, &mut session, 100);
    board.arrive(A, &orders(), 5, Some(7));
    assert_eq!(board.known_end(&orders()), None, "data came");
    board.brief(A, &mut session, 100);
    board.silent(A);
    assert_eq!(board.known_end(&orders()), None, "and was not handed out yet");
    board.deliver(&orders(), Span::new(5, 1).unwrap());
    assert_eq!(board.known_end(&orders()), Some(9), "though the session did not name the partition again");
    board.seek(&orders(), 6);
    board.silent(A);
    assert_eq!(board.known_end(&orders()), None, "the new position was not asked for");
    board.brief(A, &mut session, 100);
    board.silent(A);
    board.follow_leaders(Instant::now(), |_| Some(B));
    assert_eq!(board.known_end(&orders()), None, "the new leader was not asked");
}

#[test]
fn a_few_cut_answers_are_borne_and_then_are_an_error() {
    let mut board = board();
    assert!(!board.cut_answer(&orders()));
    assert!(!board.cut_answer(&orders()));
    assert!(board.cut_answer(&orders()));
    board.seek(&orders(), 5);
    assert!(!board.cut_answer(&orders()));
}
