/** The menu of an object or a node, and questions, where there is no JupyterLab to show them. */

import * as React from 'react';

import type { ITrans } from '../format';
import type { ICommands } from '../views/types';
import type { IQuestion } from './commands';

export interface IMenu {
  readonly items: readonly string[];
  readonly args: Readonly<Record<string, string | string[]>>;
  readonly x: number;
  readonly y: number;
  /** Has the keyboard again afterwards. */
  readonly from: HTMLElement | null;
}

export function Menu(props: { menu: IMenu; commands: ICommands; trans: ITrans; close: () => void }): JSX.Element {
  const { close, commands, menu, trans } = props;
  const ref = React.useRef<HTMLUListElement>(null);
  const [place, setPlace] = React.useState({ left: menu.x, top: menu.y });
  React.useLayoutEffect(() => {
    // All of it is within the browser, which hides what is not.
    const { clientHeight, clientWidth, offsetParent } = ref.current!;
    const room = (at: number, size: number, all: number): number => Math.max(0, Math.min(at, all - size - 2));
    setPlace({
      left: room(menu.x, clientWidth, offsetParent?.clientWidth ?? Infinity),
      top: room(menu.y, clientHeight, offsetParent?.clientHeight ?? Infinity)
    });
  }, [menu]);
  React.useEffect(() => {
    ref.current?.querySelector<HTMLElement>('[role=menuitem]')?.focus();
    const outside = (event: Event): void => {
      if (!ref.current?.contains(event.composedPath()[0] as Node)) {
        close();
      }
    };
    document.addEventListener('pointerdown', outside, true);
    return () => document.removeEventListener('pointerdown', outside, true);
  }, [menu]);
  const end = (): void => {
    close();
    menu.from?.focus();
  };
  const onKeyDown = (event: React.KeyboardEvent): void => {
    const items = [...(ref.current?.querySelectorAll<HTMLElement>('[role=menuitem]') ?? [])];
    const at = items.indexOf(document.activeElement as HTMLElement);
    const next: Record<string, number> = {
      ArrowDown: (at + 1) % items.length,
      ArrowUp: (at - 1 + items.length) % items.length,
      Home: 0,
      End: items.length - 1
    };
    if (event.key in next) {
      items[next[event.key]]?.focus();
    } else if (event.key === 'Escape' || event.key === 'Tab') {
      end();
    } else {
      return;
    }
    event.preventDefault();
    event.stopPropagation();
  };
  return (
    <ul ref={ref} className="wb-Menu" role="menu" aria-label={trans.__('Actions')} style={place} onKeyDown={onKeyDown}>
      {menu.items
        .filter(id => commands.isEnabled(id, menu.args))
        .map(id => (
          <li key={id} role="none">
            <button
              role="menuitem"
              type="button"
              tabIndex={-1}
              title={commands.caption(id)}
              data-command={id}
              onClick={() => {
                end();
                void commands.execute(id, menu.args);
              }}
            >
              {commands.label(id)}
            </button>
          </li>
        ))}
    </ul>
  );
}

export function Question(props: {
  question: IQuestion;
  trans: ITrans;
  answer: (value: string | null) => void;
}): JSX.Element {
  const { answer, question, trans } = props;
  const form = React.useRef<HTMLFormElement>(null);
  React.useEffect(() => {
    form.current?.querySelector<HTMLElement>('select, input, button')?.focus();
  }, [question]);
  const submit = (event: React.FormEvent<HTMLFormElement>): void => {
    event.preventDefault();
    const value = new FormData(event.currentTarget).get('answer');
    answer(typeof value === 'string' ? value : '');
  };
  const onKeyDown = (event: React.KeyboardEvent): void => {
    if (event.key === 'Escape') {
      event.stopPropagation();
      answer(null);
    }
  };
  return (
    <form
      ref={form}
      className="wb-Question"
      role="alertdialog"
      aria-label={question.text}
      onSubmit={submit}
      onKeyDown={onKeyDown}
    >
      <p>{question.text}</p>
      {question.choices !== undefined && (
        <label>
          {question.label}
          <select name="answer">
            {question.choices.map(({ label, value }) => (
              <option key={value} value={value}>
                {label}
              </option>
            ))}
          </select>
        </label>
      )}
      {question.value !== undefined && (
        <label>
          {question.label}
          <input name="answer" defaultValue={question.value} />
        </label>
      )}
      <button type="submit" className="wb-Question-accept">
        {question.accept}
      </button>
      <button type="button" onClick={() => answer(null)}>
        {trans.__('Cancel')}
      </button>
    </form>
  );
}
