/** The object browser: the views of the panel, with a menu, questions and a line of news of its own. */

import * as React from 'react';

import type { ITrans } from '../format';
import { objectLabel } from '../format';
import type { IObject, IWorkbenchModel } from '../tokens';
import { Icon } from '../views/icons';
import { NodesView } from '../views/nodes';
import { ObjectsView } from '../views/objects';
import { useSignal } from '../views/use';
import { PreviewPages } from '../preview/pages';
import type { IPreviewApi } from '../preview/tokens';
import { PreviewView } from '../preview/view';
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

interface IProps {
  readonly model: IWorkbenchModel;
  readonly previews: IPreviewApi;
  readonly transport: KernelTransport;
  readonly trans: ITrans;
}

export function Browser({ model, previews, transport, trans }: IProps): JSX.Element {
  const root = React.useRef<HTMLDivElement>(null);
  const [menu, setMenu] = React.useState<IMenu | null>(null);
  const [asked, setAsked] = React.useState<IAsked | null>(null);
  const [news, setNews] = React.useState<INews | null>(null);
  const [shown, setShown] = React.useState<IObject | null>(null);
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
      say: (text, failed = false) => setNews({ text, failed }),
      show: setShown
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
      {shown !== null && (
        <Shown key={shown.id} api={previews} close={() => setShown(null)} model={model} object={shown} trans={trans} />
      )}
      {asked !== null && <Question {...asked} trans={trans} />}
      <p className="wb-Browser-news" role="status" data-kind={news?.failed === true ? 'failed' : undefined}>
        {news?.text}
      </p>
      {menu !== null && <Menu menu={menu} commands={commands} trans={trans} close={() => setMenu(null)} />}
    </div>
  );
}

/** What is in an object, in front of the list; Escape or the button goes back. */
function Shown(props: {
  api: IPreviewApi;
  close: () => void;
  model: IWorkbenchModel;
  object: IObject;
  trans: ITrans;
}): JSX.Element {
  const { api, close, model, object, trans } = props;
  const pages = React.useMemo(() => new PreviewPages(api, object.id), [api, object.id]);
  const button = React.useRef<HTMLButtonElement>(null);
  useSignal(model.changed);
  React.useEffect(() => {
    const before = document.activeElement;
    button.current?.focus();
    void pages.show(0, 0);
    return () => {
      pages.dispose();
      (before as HTMLElement | null)?.focus();
    };
  }, [pages]);
  const found = model.find(object.id) ?? null;
  const onKeyDown = (event: React.KeyboardEvent): void => {
    if (event.key === 'Escape') {
      event.stopPropagation();
      close();
    }
  };
  return (
    <section className="wb-Browser-preview" aria-label={trans.__('Preview')} onKeyDown={onKeyDown}>
      <button
        ref={button}
        className="wb-IconButton"
        type="button"
        aria-label={trans.__('Back to the list')}
        onClick={close}
      >
        <Icon name="close" />
      </button>
      <PreviewView
        label={objectLabel(found ?? object)}
        object={found}
        gone={found === null && model.state?.truncated === 0}
        pages={pages}
        trans={trans}
      />
    </section>
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
