/** The menu of actions on an object outside of the panel, where no row has the context menu. */

import type { CommandRegistry } from '@lumino/commands';
import { Menu } from '@lumino/widgets';

import type { IObject } from '../tokens';
import { CommandIDs } from '../tokens';

/** Between two of these groups is a line; what an installation does not have is left out. */
const GROUPS: readonly (readonly string[])[] = [
  [CommandIDs.preview, CommandIDs.insertCode, CommandIDs.copyName],
  ['workbench:pin', 'workbench:unpin', 'workbench:rename', 'workbench:save'],
  [CommandIDs.replicate, CommandIDs.move, CommandIDs.drop, 'workbench:spill', 'workbench:restore'],
  [CommandIDs.deleteObject]
];

/** Open it below an element; the menu goes when something was chosen, and the element has the focus again. */
export function openObjectMenu(element: HTMLElement, commands: CommandRegistry, object: IObject): Menu {
  const menu = new Menu({ commands });
  const args = { object: object.id };
  for (const group of GROUPS) {
    const there = group.filter(command => commands.hasCommand(command) && commands.isVisible(command, args));
    if (there.length > 0 && menu.items.length > 0) {
      menu.addItem({ type: 'separator' });
    }
    for (const command of there) {
      menu.addItem({ command, args });
    }
  }
  menu.aboutToClose.connect(() => {
    element.focus();
    // It still has to execute what was chosen.
    requestAnimationFrame(() => menu.dispose());
  });
  const { bottom, left } = element.getBoundingClientRect();
  menu.open(left, bottom);
  return menu;
}
