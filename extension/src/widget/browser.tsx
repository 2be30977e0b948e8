/** The object browser: the views of the panel, with a menu, questions and a line of news of its own. */

import * as React from 'react';

import type { ITrans } from '../format';
import type { IWorkbenchModel } from '../tokens';
import { NodesView } from '../views/nodes';
import { ObjectsView } from '../views/objects';
import type { IDesk, IQuestion } from './commands';
import { BrowserCommands, MENU, NODE_MENU } from './commands';
import type { IMenu } from './menu';
import { Menu, Question } from './menu';
import type { KernelTransport } from './transport';

interface INews {
  readonly text: string;
  readonly failed: boolean;
}

interface IAsked {
  readonly question: IQuestion;
  readonly answer: (value: string | null) => void;
}

export function Browser(props: { model: IWorkbenchModel; transport: KernelTransport; trans: ITrans }): JSX.Element {
  const { model, transport, trans } = props;
  const root = React.useRef<HTMLDivElement>(null);
  const [menu, setMenu] = React.useState<IMenu | null>(null);
  const [asked, setAsked] = React.useState<IAsked | null>(null);
  const [news, setNews] = React.useState<INews | null>(null);
  const [busy, setBusy] = React.useState(false);
  React.useEffect(() => {
    transport.onBusy = setBusy;
    return () => {
      transport.onBusy = () => undefined;
    };
  }, [transport]);
  const commands = React.useMemo(() => {
    const desk: IDesk = {
      ask: question =>
        new Promise(resolve =>
          setAsked({
            question,
            answer: value => {
              setAsked(null);
              resolve(value);
            }
          })
        ),
      say: (text, failed = false) => setNews({ text, failed })
    };
    return new BrowserCommands(model, desk, trans);
  }, [model, trans]);
  const openMenu = (event: React.MouseEvent): void => {
    const opened = menuAt(event, model, root.current);
    if (opened !== null) {
      event.preventDefault();
      // The notebook has a menu of its own.
      event.stopPropagation();
      setNews(null);
      setMenu(opened);
    }
  };
  const views = { commands, model, trans };
  return (
    <div ref={root} className="wb-Browser-body" onContextMenu={openMenu}>
      {busy && (
        <p className="wb-Browser-news" role="status" data-kind="busy">
          {trans.__('The kernel is busy: this is what was last known.')}
        </p>
      )}
      <NodesView {...views} />
      <ObjectsView {...views} />
      {asked !== null && <Question {...asked} trans={trans} />}
      <p className="wb-Browser-news" role="status" data-kind={news?.failed === true ? 'failed' : undefined}>
        {news?.text}
      </p>
      {menu !== null && <Menu menu={menu} commands={commands} trans={trans} close={() => setMenu(null)} />}
    </div>
  );
}

/** The menu of what was pointed at: of the object (or, if it is one of several selected ones, of all of them) or the node. */
function menuAt(event: React.MouseEvent, model: IWorkbenchModel, root: HTMLElement | null): IMenu | null {
  const target = event.target as HTMLElement;
  const object = target.closest<HTMLElement>('[data-workbench-object]')?.dataset.workbenchObject;
  const node = target.closest<HTMLElement>('[data-workbench-node]')?.dataset.workbenchNode;
  if (root === null || (object === undefined && node === undefined)) {
    return null;
  }
  const { left, top } = root.getBoundingClientRect();
  const place = {
    x: event.clientX - left,
    y: event.clientY - top,
    from: target.closest<HTMLElement>('button, [tabindex]')
  };
  if (object !== undefined) {
    const { selection } = model;
    return { ...place, items: MENU, args: { objects: selection.includes(object) ? [...selection] : [object] } };
  }
  return { ...place, items: NODE_MENU, args: { node: node ?? '' } };
}
