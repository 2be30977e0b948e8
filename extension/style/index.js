import './base.css';
import './card.css';
import './preview.css';
