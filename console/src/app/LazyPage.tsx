import { t } from "../i18n";
import { Loading } from "../ui/controls";
import { useLoaded } from "./loading";
import { useOnline } from "./online";
import { useTitle } from "./title";

type View = () => React.JSX.Element | null;
type Load = () => Promise<{ default: View }>;

const REACHABLE_MS = 10_000;
const loaded = new Map<Load, View>();

/** A page whose code is loaded when it is first opened. A page that fails leaves the rest as it is, and is loaded again when the network is back. */
export function LazyPage({ load }: { load: Load }): React.JSX.Element {
  const online = useOnline();
  const [found, { error, again }] = useLoaded(() => read(load), [online]);
  const Page = found ?? loaded.get(load);
  if (Page) return <Page />;
  if (error === null) return <Loading />;
  return <NotLoaded onRetry={() => void retry(load, again)} />;
}

function NotLoaded({ onRetry }: { onRetry: () => void }): React.JSX.Element {
  useTitle(t("error.page"));
  return (
    <div className="empty" role="alert">
      <h1>{t("error.page")}</h1>
      <p>{t("error.pageText")}</p>
      <button type="button" className="button primary" onClick={onRetry}>
        {t("action.retry")}
      </button>
    </div>
  );
}

async function read(load: Load): Promise<View> {
  const page = (await load()).default;
  loaded.set(load, page);
  return page;
}

/** Load the page again. A server that responds and does not have the file was replaced: then only a reload helps. */
async function retry(load: Load, again: () => void): Promise<void> {
  try {
    await read(load);
    again();
  } catch {
    if (await isReachable()) location.reload();
  }
}

async function isReachable(): Promise<boolean> {
  try {
    return (await fetch(location.pathname, { cache: "no-store", signal: AbortSignal.timeout(REACHABLE_MS) })).ok;
  } catch {
    return false;
  }
}
