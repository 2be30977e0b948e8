/**
 * The box that filters the objects: text, chips, and what is wrong with them; suggestions while somebody types.
 *
 * Covers the box as a combobox (WAI-ARIA); what a text means is in `filter.ts`, what is suggested in `suggest.ts`.
 */

import * as React from 'react';

import type { ITerm } from '../filter';
import type { ISuggestion } from '../suggest';
import { suggest, wordAt } from '../suggest';
import { Icon } from './icons';
import type { IViewProps } from './types';

const LIST = 'wb-filter-suggestions';

export function FilterBox({ model, trans }: IViewProps): JSX.Element {
  const input = React.useRef<HTMLInputElement>(null);
  const [list, setList] = React.useState<readonly ISuggestion[]>([]);
  const [chosen, setChosen] = React.useState(-1);
  // What is typed is shown at once, whatever the model is about.
  const [text, setText] = React.useState(model.layout.filter);
  const [told, setTold] = React.useState(model.layout.filter);
  if (model.layout.filter !== told) {
    setTold(model.layout.filter);
    setText(model.layout.filter);
  }
  const write = (filter: string): void => {
    setText(filter);
    setTold(filter);
    model.arrange({ filter });
  };
  const close = (): void => {
    setList([]);
    setChosen(-1);
  };
  const propose = (filter: string, cursor: number): void => {
    const { word } = wordAt(filter, cursor);
    setList(word === '' && filter !== '' ? [] : suggest(word, model.state, trans));
    setChosen(-1);
  };
  const take = (suggestion: ISuggestion): void => {
    const element = input.current;
    if (element === null) {
      return;
    }
    const { start, end } = wordAt(text, element.selectionStart ?? text.length);
    const tail = text.slice(end).trimStart();
    const head = `${text.slice(0, start)}${suggestion.text}${suggestion.open ? '' : ' '}`;
    write(head + tail);
    close();
    requestAnimationFrame(() => {
      element.focus();
      element.setSelectionRange(head.length, head.length);
      if (suggestion.open) {
        propose(head + tail, head.length);
      }
    });
  };
  const onKeyDown = (event: React.KeyboardEvent): void => {
    const open = list.length > 0;
    if (event.key === 'ArrowDown' || event.key === 'ArrowUp') {
      if (open) {
        const step = event.key === 'ArrowDown' ? 1 : -1;
        setChosen(Math.min(list.length - 1, Math.max(-1, chosen + step)));
      } else if (event.key === 'ArrowDown') {
        propose(text, input.current?.selectionStart ?? text.length);
      }
    } else if ((event.key === 'Enter' || event.key === 'Tab') && open && chosen >= 0) {
      take(list[chosen]);
    } else if (event.key === 'Enter') {
      close();
    } else if (event.key === 'Escape') {
      if (open) {
        close();
      } else {
        write('');
      }
    } else {
      return;
    }
    event.preventDefault();
    event.stopPropagation();
  };
  const chips = model.terms.filter(({ key, error }) => key !== null || error !== null);
  return (
    <div className="wb-Filter">
      <div className="wb-Filter-box">
        <Icon name="search" size={14} />
        <input
          ref={input}
          className="wb-Filter-input"
          type="text"
          role="combobox"
          spellCheck={false}
          autoComplete="off"
          aria-label={trans.__('Filter objects by text, or by chips such as node:a size:>1GB kind:DataFrame idle:>1h')}
          aria-autocomplete="list"
          aria-expanded={list.length > 0}
          aria-controls={LIST}
          aria-activedescendant={chosen >= 0 ? `${LIST}-${chosen}` : undefined}
          aria-invalid={chips.some(({ error }) => error !== null)}
          placeholder={trans.__('Filter: text, node:a, size:>1GB, …')}
          value={text}
          onChange={event => {
            write(event.target.value);
            propose(event.target.value, event.target.selectionStart ?? event.target.value.length);
          }}
          onKeyDown={onKeyDown}
          onBlur={close}
        />
        {text !== '' && (
          <button
            className="wb-IconButton"
            type="button"
            title={trans.__('Show all')}
            aria-label={trans.__('Clear the filter')}
            onClick={() => write('')}
          >
            <Icon name="close" size={12} />
          </button>
        )}
      </div>
      <ul
        id={LIST}
        className="wb-Filter-list"
        role="listbox"
        aria-label={trans.__('Suggestions')}
        hidden={list.length === 0}
      >
        {list.map((suggestion, index) => (
          <li
            key={suggestion.text}
            id={`${LIST}-${index}`}
            role="option"
            aria-selected={index === chosen}
            onMouseDown={event => event.preventDefault()}
            onClick={() => take(suggestion)}
          >
            <span className="wb-Filter-text">{suggestion.text}</span>
            <span className="wb-Filter-hint">{suggestion.hint}</span>
          </li>
        ))}
      </ul>
      {chips.length > 0 && (
        <ul className="wb-Filter-chips" aria-label={trans.__('Chips of the filter')}>
          {chips.map(term => (
            <Chip
              key={term.start}
              term={term}
              label={trans.__('Remove %1', term.text)}
              remove={() => write(`${text.slice(0, term.start)}${text.slice(term.end).trimStart()}`)}
            />
          ))}
        </ul>
      )}
    </div>
  );
}

function Chip({ label, remove, term }: { label: string; remove: () => void; term: ITerm }): JSX.Element {
  return (
    <li className="wb-Filter-chip" data-bad={term.error !== null || undefined}>
      {term.error !== null && <Icon name="warning" size={12} />}
      <span className="wb-Filter-chipText" title={term.text} role={term.error === null ? undefined : 'alert'}>
        {term.error ?? term.text}
      </span>
      <button className="wb-IconButton" type="button" title={label} aria-label={label} onClick={remove}>
        <Icon name="close" size={10} />
      </button>
    </li>
  );
}
