export default function OperatorView(): React.JSX.Element { return <p>…</p>; }
