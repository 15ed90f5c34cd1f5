export default function AccountView(): React.JSX.Element { return <p>…</p>; }
