/** What the views are given: the model, the commands, and the words. Nothing here knows JupyterLab. */

import type { ITrans } from '../format';
import type { IWorkbenchModel } from '../tokens';

/** The part of a command registry that views use. */
export interface ICommands {
  execute(id: string, args?: Readonly<Record<string, string | boolean | string[]>>): Promise<unknown>;
  isEnabled(id: string, args?: Readonly<Record<string, string | boolean | string[]>>): boolean;
  caption(id: string, args?: Readonly<Record<string, string | boolean | string[]>>): string;
  label(id: string, args?: Readonly<Record<string, string | boolean | string[]>>): string;
}

export interface IViewProps {
  readonly model: IWorkbenchModel;
  readonly commands: ICommands;
  readonly trans: ITrans;

  /** Begin to drag objects; without it nothing can be dragged. */
  readonly onDrag?: (ids: readonly string[], event: React.PointerEvent) => void;

  /** What the views were made for: told where it is not what the server is. */
  readonly extensionVersion?: string;
}
