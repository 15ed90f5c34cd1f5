import { Unread } from "../app/loading";
import { t } from "../i18n";
import { count, duration } from "../i18n/format";
import { Badge, Card, Table } from "../ui/Page";
import { Webhooks } from "../webhooks/Webhooks";
import { useServices, type Service } from "./serviceState";

const DEAD_LETTERS = "parley.dead";
/** Seconds that an event may wait before the page marks it. */
const LATE_S = 60;

/** Where events are: in outboxes, in queues, among the dead letters; and the webhooks that send them on. */
export function Events(): React.JSX.Element {
  return (
    <>
      <Flow />
      <Webhooks scope="all" />
    </>
  );
}

function Flow(): React.JSX.Element {
  const [services, reading] = useServices();
  if (services === null) {
    return (
      <Card title={t("flow.title")} text={t("flow.text")}>
        <Unread {...reading} />
      </Card>
    );
  }
  // Each service reports the dead letters of all; null while none can read them.
  const reported = services.map((each) => queue(each, DEAD_LETTERS)).filter((each) => each !== undefined);
  const dead = reported.length ? Math.max(...reported) : null;
  return (
    <Card
      title={t("flow.title")}
      text={t("flow.text")}
      actions={<DeadLetters dead={dead} />}
    >
      {dead !== null && dead > 0 && <p className="form-error">{t("flow.deadText")}</p>}
      <Table label={t("flow.title")} head={[t("flow.service"), t("flow.outbox"), t("flow.oldest"), t("flow.queue"), t("flow.deliveries")]} numbersFrom={1}>
        {services.map((each) => (
          <Row key={each.name} service={each} />
        ))}
      </Table>
    </Card>
  );
}

function DeadLetters({ dead }: { dead: number | null }): React.JSX.Element {
  if (dead === null) return <Badge text={t("flow.dead", { count: t("flow.unknown") })} look="" />;
  return dead > 0 ? <Badge text={t("flow.dead", { count: count(dead) })} look="bad" /> : <Badge text={t("flow.noDead")} look="good" />;
}

function Row({ service }: { service: Service }): React.JSX.Element {
  const { name, status } = service;
  if (status === null) {
    return (
      <tr>
        <td>
          <strong>{name}</strong>
        </td>
        <td colSpan={4}>
          <Badge text={t("operator.silent")} look="bad" />
        </td>
      </tr>
    );
  }
  const age = status.outbox?.oldest_age_s ?? 0;
  const waiting = status.queues?.filter((each) => each.queue !== DEAD_LETTERS).map((each) => each.waiting);
  return (
    <tr>
      <td>
        <strong>{name}</strong>
      </td>
      <td className="number">{status.outbox ? count(status.outbox.pending) : t("flow.unknown")}</td>
      <td className="number">{age > LATE_S ? <Badge text={duration(age)} look="bad" /> : age > 0 ? duration(age) : "–"}</td>
      <td className="number">{waiting?.length ? count(waiting.reduce((sum, each) => sum + each, 0)) : t("flow.unknown")}</td>
      <td className="number">{status.deliveries ? count(status.deliveries.due) : "–"}</td>
    </tr>
  );
}

function queue({ status }: Service, name: string): number | undefined {
  return status?.queues?.find((each) => each.queue === name)?.waiting;
}
